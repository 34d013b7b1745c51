// Cloudflare's side of the platform port: sockets by the hibernation API, the alarm, and timers. Each object says what it stores and how.

import { DurableObject } from 'cloudflare:workers'
import { pingText, pongText } from '@rdev/shared/wire/limits'
import type { ObjectDriver, ObjectPlatform } from './platform.ts'

type Kept<Attachment> = Attachment & { readonly id: string }

export abstract class DurablePlatform<Memory, Write, Attachment extends object> implements ObjectPlatform<Memory, Write, Attachment> {
  protected readonly ctx: DurableObjectState
  readonly #sockets = new Map<string, WebSocket>()

  constructor(ctx: DurableObjectState) {
    this.ctx = ctx
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(pingText, pongText))
    for (const socket of ctx.getWebSockets()) {
      const id = this.idOf(socket)
      if (id !== undefined) this.#sockets.set(id, socket)
    }
  }

  abstract load(): Memory
  abstract commit(write: Write): void

  get name(): string {
    return this.ctx.id.name ?? ''
  }
  newId(): string {
    return crypto.randomUUID()
  }

  /** Answers an upgrade with a new socket; `connected` gets its id, and accepts or closes it. */
  upgrade(connected: (connection: string) => void): Response {
    const { 0: client, 1: server } = new WebSocketPair()
    const id = this.newId()
    this.#sockets.set(id, server)
    connected(id)
    return new Response(null, { status: 101, webSocket: client })
  }

  accept(connection: string, attachment: Attachment): void {
    const socket = this.#sockets.get(connection)
    if (socket === undefined) return
    this.ctx.acceptWebSocket(socket)
    socket.serializeAttachment({ ...attachment, id: connection } satisfies Kept<Attachment>)
  }

  *connections(): Generator<readonly [string, Attachment]> {
    for (const [id, socket] of this.#sockets) yield [id, socket.deserializeAttachment() as Attachment]
  }

  idOf(socket: WebSocket): string | undefined {
    return (socket.deserializeAttachment() as Kept<Attachment> | null)?.id
  }

  send(connection: string, text: string): void {
    try {
      this.#sockets.get(connection)?.send(text)
    } catch {
      // The socket is gone already: its close event is on the way.
    }
  }

  close(connection: string, code: number, reason: string): void {
    const socket = this.#sockets.get(connection)
    this.#sockets.delete(connection)
    if (socket !== undefined) closeSocket(socket, code, reason)
  }

  /** The far side closed the socket, or it broke. Answers its id, undefined if the object did not know it. */
  gone(socket: WebSocket): string | undefined {
    // An object with hibernating sockets must answer the close handshake itself; otherwise the far side waits.
    closeSocket(socket, 1000, 'closed')
    const id = this.idOf(socket)
    if (id !== undefined) this.#sockets.delete(id)
    return id
  }

  lastPingAt(connection: string): number {
    const socket = this.#sockets.get(connection)
    return socket === undefined ? 0 : (this.ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0)
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = setTimeout(run, delayMs)
    return () => clearTimeout(timer)
  }

  setAlarm(at: number | null): Promise<void> {
    return at === null ? this.ctx.storage.deleteAlarm() : this.ctx.storage.setAlarm(at, { allowUnconfirmed: true })
  }
  alarmAt(): Promise<number | null> {
    return this.ctx.storage.getAlarm()
  }
}

/** Closes a socket in any state and never throws: it may be closed already, or the far side's code may be one that must not be sent. */
export function closeSocket(socket: WebSocket, code: number, reason: string): void {
  try {
    socket.close(code, reason)
  } catch {
    // Gone already.
  }
}

/** What both kinds of objects are to Cloudflare: its events of sockets and its alarm, handed to a driver. */
export abstract class SocketObject extends DurableObject<unknown> {
  protected abstract readonly platform: DurablePlatform<unknown, never, object>
  protected abstract readonly driver: ObjectDriver

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    const id = this.platform.idOf(socket)
    if (id !== undefined) this.driver.message(id, message)
  }

  override async webSocketClose(socket: WebSocket): Promise<void> {
    const id = this.platform.gone(socket)
    if (id !== undefined) this.driver.closed(id)
  }

  override async webSocketError(socket: WebSocket): Promise<void> {
    return this.webSocketClose(socket)
  }

  override alarm(): Promise<void> {
    return this.driver.alarm()
  }
}
