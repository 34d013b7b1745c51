// The object of one cluster: the control socket of its agent, and what runs where. A shell round cluster-hub-machine.ts. Only the epoch is
// stored; after a sleep the rest comes back from the agent's `hello` and from Postgres.

import { DurableObject } from 'cloudflare:workers'

import { decodeFrame, encodeFrame } from '@rdev/shared/wire/codec'
import { hubUpSchema } from '@rdev/shared/wire/hub-frames'
import { closeCodes, pingText, pongText } from '@rdev/shared/wire/limits'
import { speaksProtocol } from '@rdev/shared/wire/version'
import type { Task } from '@rdev/shared/domain/task'
import type { Deps } from '../../ports/deps.ts'
import type { AttemptRef, LiveTask } from '../../ports/dispatch-store.ts'
import type { HubStatus } from '../../ports/hubs.ts'
import { carryOut, inspectQueue, type HubLogs } from './store-calls.ts'
import { stepHub } from './machine.ts'
import { initialHub, newMemory, leaseMs, type Dispatch, type HubEffect, type HubInput, type HubMemory, type HubState } from './state.ts'
import { closeSocket, sendOn } from '../sockets.ts'

export interface ClusterHubDeps extends Pick<Deps, 'tasks' | 'dispatch' | 'projects' | 'tokens' | 'clock' | 'random' | 'log'> {
  readonly logs: HubLogs
}

interface Attachment {
  readonly id: string
  readonly epoch: number
  readonly since: number
}

/** A token opens its task's log for as long as the attempt can live, and for the time an agent may need to come back with the end. */
const tokenGraceMs = 60 * 60_000
/** How long `status` waits for an agent that was asked to say `hello`. */
const statusWaitMs = 2_000
/** How long a wanted alarm is kept in memory before it is written; see #wantAlarm. */
const alarmDelayMs = 100
/** How long none is wanted before what is set is deleted; see #dropAlarm. */
const alarmDropMs = 1_000

export class ClusterHubObject extends DurableObject<unknown> {
  readonly #deps: ClusterHubDeps
  readonly #clusterId: string
  readonly #sockets = new Map<string, WebSocket>()
  readonly #pending = new Set<Promise<void>>()
  /** Whoever waits for the agent's inventory. */
  #waiting: (() => void)[] = []
  #lastFrameAt = 0
  #alarmWanted = false
  #alarmUnwanted = false
  /** What the platform holds, as far as this life of the object has set it. */
  #alarmSetAt = Number.POSITIVE_INFINITY
  #state: HubState

  constructor(ctx: DurableObjectState, env: unknown, deps: ClusterHubDeps) {
    super(ctx, env)
    this.#deps = deps
    this.#clusterId = ctx.id.name ?? ''
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(pingText, pongText))
    this.#state = initialHub(crypto.randomUUID(), memoryOf(ctx.storage.kv))
    let newest: Attachment | null = null
    for (const socket of ctx.getWebSockets()) {
      const attachment = attachmentOf(socket)
      if (attachment === null || attachment.epoch !== this.#state.durable.epoch) continue
      this.#sockets.set(attachment.id, socket)
      newest = attachment
    }
    this.#step({ type: 'woke', connection: newest && { id: newest.id, epoch: newest.epoch } })
  }

  // What the Worker and task logs call.

  async poke(): Promise<void> {
    this.#step({ type: 'poke' })
  }

  async ended(ref: AttemptRef): Promise<void> {
    this.#step({ type: 'ended', ref })
  }

  async status(): Promise<HubStatus> {
    const known = () => this.#state.connection === null || this.#state.connection.hello !== null
    if (!known()) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, statusWaitMs)
        this.#waiting.push(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
    const { connection, pods, live } = this.#state
    const running = (name: string) => [...live.values()].filter(({ task }) => task.pod === name).length
    return {
      connected: connection !== null,
      agent_version: connection?.version ?? null,
      pods: pods.map((pod) => ({ ...pod, running: running(pod.name) })),
    }
  }

  /** The agent's socket. The Worker has checked that it speaks for this cluster; nobody else can call this. */
  override async fetch(request: Request): Promise<Response> {
    const { 0: client, 1: server } = new WebSocketPair()
    // An agent that is not understood must not throw out one that is.
    const protocol = new URL(request.url).searchParams.get('protocol') ?? ''
    if (protocol !== '' && !speaksProtocol(Number(protocol))) {
      this.#deps.log('warn', 'agent of another protocol refused', { cluster_id: this.#clusterId, protocol })
      server.accept()
      server.close(closeCodes.unsupportedProtocol, 'this protocol version is not spoken here')
      return new Response(null, { status: 101, webSocket: client })
    }
    const id = crypto.randomUUID()
    this.#sockets.set(id, server)
    this.#step({ type: 'connected', connection: id })
    const attachment: Attachment = { id, epoch: this.#state.durable.epoch, since: this.#deps.clock.now() }
    this.ctx.acceptWebSocket(server)
    server.serializeAttachment(attachment)
    this.#lastFrameAt = attachment.since
    return new Response(null, { status: 101, webSocket: client })
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    const attachment = attachmentOf(socket)
    if (attachment === null || !this.#sockets.has(attachment.id)) return
    this.#lastFrameAt = this.#deps.clock.now()
    const decoded = decodeFrame(hubUpSchema, message)
    if (decoded.ok) {
      this.#step({ type: 'frame', connection: attachment.id, frame: decoded.frame, random: this.#deps.random.chance() })
      if (decoded.frame.type === 'hello') this.#release()
    } else if (decoded.reason !== 'unknown_type') {
      const reason = decoded.reason.replace('_', ' ')
      this.#deps.log('warn', 'malformed frame of an agent', { cluster_id: this.#clusterId, reason })
      closeSocket(socket, closeCodes.malformed, reason)
      this.#gone(socket)
    }
  }

  override async webSocketClose(socket: WebSocket): Promise<void> {
    // A hibernating object answers the close handshake itself; without it the far side waits.
    closeSocket(socket, 1000, 'closed')
    this.#gone(socket)
  }

  override async webSocketError(socket: WebSocket): Promise<void> {
    this.#gone(socket)
  }

  #gone(socket: WebSocket): void {
    const attachment = attachmentOf(socket)
    if (attachment === null) return
    this.#sockets.delete(attachment.id)
    this.#step({ type: 'closed', connection: attachment.id })
    this.#release()
  }

  #release(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  override async alarm(): Promise<void> {
    this.#alarmSetAt = Number.POSITIVE_INFINITY
    try {
      this.#step({ type: 'alarm', silentMs: this.#silentMs(), random: this.#chance() })
      await Promise.all(this.#pending)
    } catch (error) {
      this.#deps.log('error', 'alarm of a hub failed', { cluster_id: this.#clusterId, error: String(error) })
    } finally {
      // An alarm that throws is given up after six times; one that is not set is given up at once.
      const wanted = this.#state.alarmAt
      if (wanted !== null && (await this.ctx.storage.getAlarm()) === null) {
        this.#alarmSetAt = Math.max(wanted, this.#deps.clock.now() + 1_000)
        await this.ctx.storage.setAlarm(this.#alarmSetAt)
      }
    }
  }

  /** A half-open socket stays listed as open for ever; only the time of its last ping shows it. */
  #silentMs(): number | null {
    const socket = this.#sockets.get(this.#state.connection?.id ?? '')
    if (socket === undefined) return null
    const pinged = this.ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0
    return this.#deps.clock.now() - Math.max(pinged, this.#lastFrameAt, attachmentOf(socket)?.since ?? 0)
  }

  #step(input: HubInput): void {
    const { state, effects } = stepHub(this.#state, input, this.#deps.clock.now())
    this.#save(state.durable)
    this.#state = state
    for (const effect of effects) this.#do(effect)
  }

  #save(memory: HubMemory): void {
    const before = this.#state.durable
    for (const [key, value] of Object.entries(memory)) if (value !== before[key as keyof HubMemory]) this.ctx.storage.kv.put(key, value)
  }

  #do(effect: HubEffect): void {
    switch (effect.type) {
      case 'send':
        return sendOn(this.#sockets.get(effect.connection), encodeFrame(effect.frame))
      case 'close': {
        const socket = this.#sockets.get(effect.connection)
        this.#sockets.delete(effect.connection)
        if (socket !== undefined) closeSocket(socket, effect.code, effect.reason)
        return
      }
      case 'alarm':
        return effect.at === null ? this.#dropAlarm() : this.#wantAlarm()
      case 'load':
        return this.#ask(
          'live tasks could not be read',
          async () => ({
            type: 'loaded',
            ...(await this.#takeOver(effect.generation)),
            random: this.#chance(),
          }),
          () => ({ type: 'load_failed', random: this.#chance() }),
        )
      case 'claim': {
        const { claim_id, slots, generation, number } = effect
        const claim = { clusterId: this.#clusterId, claimId: claim_id, slots, leaseMs, generation, number }
        return this.#ask(
          'claim failed',
          async () => ({ type: 'claimed', claim_id, tasks: await this.#dispatches(await this.#deps.dispatch.claim(claim)) }),
          () => ({ type: 'claim_failed', claim_id, random: this.#chance() }),
        )
      }
      case 'inspect_queue':
        return this.#ask(
          'queue could not be looked at',
          () => inspectQueue(this.#deps.dispatch, this.#clusterId, effect.pods),
          () => ({ type: 'queue_inspection_failed', random: this.#chance() }),
        )
      case 'write': {
        const { id, write } = effect
        return this.#ask(
          `${write.kind} failed`,
          async () => ({ type: 'written', id, tasks: await carryOut(this.#deps, this.#clusterId, write) }),
          () => ({ type: 'write_failed', id, random: this.#chance() }),
        )
      }
      case 'sync_logs':
        for (const task of effect.tasks) this.#hint('task log was not synced', () => this.#syncLog(task), task.id)
        return
      case 'renew':
        return this.#hint('leases were not renewed', () => this.#deps.dispatch.renew(this.#clusterId, effect.refs, leaseMs))
    }
  }

  /**
   * Written a moment later, and only if it must be earlier than what is set: an alarm costs a write to disk, which everything that leaves the
   * object would wait for, and most tasks are over before theirs is due. One that rings for nothing looks around and sets the right one.
   * A crash in that moment cuts the agent's socket too, and its next hello derives the alarm anew.
   */
  #wantAlarm(): void {
    if (this.#alarmWanted) return
    this.#alarmWanted = true
    setTimeout(() => {
      this.#alarmWanted = false
      const wanted = this.#state.alarmAt
      if (wanted === null || wanted >= this.#alarmSetAt) return
      this.#alarmSetAt = wanted
      void this.ctx.storage.setAlarm(wanted, { allowUnconfirmed: true })
    }, alarmDelayMs)
  }

  /**
   * One that nobody wants any more would wake the object from its sleep, without memory: it would ask the agent, and want an alarm while
   * it waits for the answer, and so on for ever. Deleted when things have been quiet for a moment, well before the object sleeps.
   */
  #dropAlarm(): void {
    if (this.#alarmUnwanted) return
    this.#alarmUnwanted = true
    setTimeout(() => {
      this.#alarmUnwanted = false
      if (this.#state.alarmAt !== null || this.#alarmSetAt === Number.POSITIVE_INFINITY) return
      this.#alarmSetAt = Number.POSITIVE_INFINITY
      void this.ctx.storage.deleteAlarm()
    }, alarmDropMs)
  }

  #chance(): number {
    return this.#deps.random.chance()
  }

  /** Asks outside, and feeds the answer, or that there was none, back into the machine. */
  #ask(phrase: string, question: () => Promise<HubInput>, failed: () => HubInput): void {
    this.#later(async () => {
      let input: HubInput
      try {
        input = await question()
      } catch (error) {
        this.#deps.log('warn', phrase, { cluster_id: this.#clusterId, error: String(error) })
        input = failed()
      }
      this.#step(input)
    })
  }

  #hint(phrase: string, tell: () => Promise<void>, taskId?: string): void {
    this.#later(async () => {
      try {
        await tell()
      } catch (error) {
        this.#deps.log('warn', phrase, { cluster_id: this.#clusterId, task_id: taskId, error: String(error) })
      }
    })
  }

  #later(work: () => Promise<void>): void {
    const promise = work().finally(() => this.#pending.delete(promise))
    this.#pending.add(promise)
  }

  async #takeOver(asked: number) {
    const { generation, live } = await this.#deps.dispatch.takeOver(this.#clusterId, asked)
    return { generation, live: await this.#dispatches(live) }
  }

  #dispatches(live: readonly LiveTask[]): Promise<Dispatch[]> {
    const { tokens, clock } = this.#deps
    const { epoch } = this.#state.durable
    return Promise.all(
      live.map(async ({ task, provider_session_id }) => {
        const expires_at = clock.now() + task.spec.timeout_s * 1_000 + tokenGraceMs
        const claims = { kind: 'attempt' as const, task_id: task.id, attempt: task.attempt, cluster_id: task.cluster_id, epoch, expires_at }
        return { task, provider_session_id, token: await tokens.sign(claims) }
      }),
    )
  }

  /**
   * After the frames of this turn have left: the first call makes the log's object with its file, which takes a local workerd 15 ms
   * of its one thread, and nothing that starts a process should stand behind that.
   */
  async #syncLog(task: Task): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 0))
    await this.#deps.logs.sync(task)
  }
}

function memoryOf(kv: DurableObjectStorage['kv']): HubMemory {
  const stored = Object.keys(newMemory).map((key) => [key, kv.get(key)] as const)
  return { ...newMemory, ...Object.fromEntries(stored.filter(([, value]) => value !== undefined)) }
}

const attachmentOf = (socket: WebSocket): Attachment | null => socket.deserializeAttachment() as Attachment | null
