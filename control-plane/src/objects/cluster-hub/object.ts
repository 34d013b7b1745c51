// Cloudflare's side of one cluster's hub.

import type { AttemptRef } from '@rdev/shared/domain/attempt'
import type { HubStatus } from '../../ports/hubs.ts'
import { closeSocket, DurablePlatform, SocketObject } from '../durable-object.ts'
import { ClusterHubDriver, type ClusterHubDeps, type HubAttachment, type HubPlatform } from './driver.ts'
import { newMemory, type HubMemory } from './state.ts'

/** Each part of HubMemory has a key of its own in the object's storage. */
class Platform extends DurablePlatform<Partial<HubMemory>, Partial<HubMemory>, HubAttachment> implements HubPlatform {
  load(): Partial<HubMemory> {
    const stored = Object.keys(newMemory).map((key) => [key, this.ctx.storage.kv.get(key)] as const)
    return Object.fromEntries(stored.filter(([, value]) => value !== undefined))
  }
  commit(changed: Partial<HubMemory>): void {
    for (const [key, value] of Object.entries(changed)) this.ctx.storage.kv.put(key, value)
  }
}

export class ClusterHubObject extends SocketObject {
  protected readonly platform: Platform
  protected readonly driver: ClusterHubDriver

  constructor(ctx: DurableObjectState, env: unknown, deps: ClusterHubDeps) {
    super(ctx, env)
    this.platform = new Platform(ctx)
    this.driver = new ClusterHubDriver(this.platform, deps)
  }

  async poke(): Promise<void> {
    this.driver.poke()
  }
  /** The cluster's desired resources changed. The call may be lost: every `hello` of the agent reads them again. */
  async resourcesChanged(): Promise<void> {
    this.driver.resourcesChanged()
  }
  /** A project of the cluster was registered. */
  async projectRegistered(): Promise<void> {
    this.driver.projectRegistered()
  }
  /** A key of the cluster was revoked. The call may be lost: open sockets judge their key again. */
  async keyRevoked(keyId: string): Promise<void> {
    this.driver.keyRevoked(keyId)
  }
  async ended(ref: AttemptRef): Promise<void> {
    this.driver.ended(ref)
  }
  async status(): Promise<HubStatus> {
    return this.driver.status()
  }

  /** The upgrade of an agent's socket. Only the Worker can call this, and it has checked that the key speaks for this cluster. */
  override async fetch(request: Request): Promise<Response> {
    const { searchParams } = new URL(request.url)
    const ends = searchParams.get('expires_at')
    const key = { id: searchParams.get('key_id') ?? '', expires_at: ends === null ? null : Number(ends) }
    const refused = this.driver.refusal(searchParams.get('protocol') ?? '')
    if (refused === undefined) return this.platform.upgrade((connection) => this.driver.connect(connection, key))
    const { 0: client, 1: server } = new WebSocketPair()
    server.accept()
    closeSocket(server, refused.code, refused.reason)
    return new Response(null, { status: 101, webSocket: client })
  }
}
