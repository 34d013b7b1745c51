// The object of one task: its log's storage, its readers, and the line to its live attempt. A shell round task-log-machine.ts; it adds
// the order of things on the platform: what a step changes is stored in one transaction before anything of it is told (and the runtime
// holds what is told until the disk has it), and nothing here keeps the object awake while nothing happens.

import { DurableObject } from 'cloudflare:workers'
import { isTerminal, type Task, type TaskOutcome } from '@rdev/shared/domain/task'
import { decodeFrame, encodeFrame } from '@rdev/shared/wire/codec'
import { closeCodes, maxCursorBytes, pingText, pongText } from '@rdev/shared/wire/limits'
import { taskUpSchema, type TaskUp } from '@rdev/shared/wire/task-frames'
import type { Deps } from '../../ports/deps.ts'
import type { AttemptRef } from '../../ports/dispatch-store.ts'
import { finishTask } from '../../usecases/finish-task.ts'
import { closeSocket, sendOn } from '../sockets.ts'
import {
  finishRescueMs,
  hasReceived,
  initialTaskLog,
  isUnsettled,
  stepTaskLog,
  type Line,
  type TaskLogEffect,
  type TaskLogInput,
  type TaskLogState,
} from './machine.ts'
import { Readers, type ReaderAttachment } from './readers.ts'
import { encodeBatches, maxRowChars, TaskLogStorage, type Batch } from './storage.ts'

export interface TaskLogDeps extends Pick<Deps, 'tasks' | 'dispatch' | 'hubs' | 'clock' | 'random' | 'log'> {
  /** Tells the hub that a row has ended: what waited for its place may be claimed. A hint. */
  readonly rowEnded: (clusterId: string, ref: AttemptRef) => Promise<void>
}

type Attachment = ReaderAttachment | ({ readonly role: 'line' } & Line)

export class TaskLogObject extends DurableObject<unknown> {
  readonly #deps: TaskLogDeps
  readonly #storage: TaskLogStorage
  readonly #readers = new Readers()
  readonly #lines = new Map<string, WebSocket>()
  /** What waits for Postgres or a hub; the alarm waits for it too. */
  readonly #pending = new Set<Promise<void>>()
  #state: TaskLogState

  constructor(ctx: DurableObjectState, env: unknown, deps: TaskLogDeps) {
    super(ctx, env)
    this.#deps = deps
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(pingText, pongText))
    this.#storage = new TaskLogStorage(ctx.storage)
    this.#state = initialTaskLog(this.#storage.load())
    const lines: Line[] = []
    for (const socket of ctx.getWebSockets()) {
      const attachment = attachmentOf(socket)
      if (attachment?.role === 'reader') this.#readers.add(socket, attachment)
      else if (attachment?.role === 'line') {
        lines.push(attachment)
        this.#lines.set(attachment.connection, socket)
      }
    }
    this.#step({ type: 'woke', lines })
  }

  // What the Worker and the hub call.

  async sync(task: Task): Promise<void> {
    this.#step({ type: 'sync', task })
  }

  async cancel(task: Task, graceS: number): Promise<void> {
    this.#step({ type: 'cancel', grace_s: graceS })
    this.#step({ type: 'sync', task })
  }

  /** Whether anything of the row's attempt is here: an event, or its result. */
  async received(task: Task): Promise<boolean> {
    this.#step({ type: 'sync', task })
    return hasReceived(this.#state.durable, task.attempt)
  }

  /** The attempt will report nothing more and ended so, unless its result is here already. */
  async end(task: Task, outcome: TaskOutcome): Promise<void> {
    this.#step({ type: 'sync', task })
    this.#step({ type: 'end', attempt: task.attempt, outcome })
  }

  async page(after: number, limit: number): Promise<{ body: string; finished: boolean }> {
    const { body, last } = this.#storage.page(after, limit)
    const { seq, finished } = this.#state.durable
    return { body, finished: finished && last >= seq }
  }

  /** Sockets: `/line` of an attempt, `/read` of a reader. The Worker has checked who it is; nobody else can call this. */
  override async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url)
    const { 0: client, 1: server } = new WebSocketPair()
    if (url.pathname === '/line') {
      const line: Line = {
        connection: crypto.randomUUID(),
        attempt: Number(url.searchParams.get('attempt')),
        epoch: Number(url.searchParams.get('epoch')),
      }
      this.#accept(server, { role: 'line', ...line })
      this.#lines.set(line.connection, server)
      this.#step({ type: 'connected', line })
      return new Response(null, { status: 101, webSocket: client })
    }

    const wants = url.searchParams.has('end') ? 'end' : url.searchParams.has('deltas') ? 'deltas' : 'lines'
    const attachment: ReaderAttachment = { role: 'reader', wants }
    this.#accept(server, attachment)
    this.#readers.add(server, attachment)
    this.#readers.catchUp(server, this.#storage.after(Number(url.searchParams.get('after') ?? 0)))
    if (this.#state.durable.finished) this.#readers.complete()
    return new Response(null, { status: 101, webSocket: client })
  }

  #accept(socket: WebSocket, attachment: Attachment): void {
    this.ctx.acceptWebSocket(socket)
    socket.serializeAttachment(attachment)
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    const attachment = attachmentOf(socket)
    if (attachment?.role === 'reader') return this.#readers.taken(socket, message)
    if (attachment?.role !== 'line') return
    const decoded = decodeFrame(taskUpSchema, message)
    if (!decoded.ok) {
      if (decoded.reason !== 'unknown_type') this.#refuse(socket, attachment, closeCodes.malformed, decoded.reason.replace('_', ' '))
    } else if (!fits(decoded.frame, typeof message === 'string' ? message.length : 0)) {
      this.#refuse(socket, attachment, closeCodes.malformed, 'an event or cursor is too large')
    } else {
      try {
        this.#step({ type: 'frame', connection: attachment.connection, frame: decoded.frame })
      } catch (error) {
        // Nothing was stored and nothing acknowledged: the attempt comes back and sends it again.
        this.#refuse(socket, attachment, closeCodes.tryAgain, 'could not be stored', error)
      }
    }
  }

  #refuse(socket: WebSocket, { attempt }: Line, code: number, reason: string, error?: unknown): void {
    const fields = { task_id: this.ctx.id.name, attempt, reason, ...(error !== undefined && { error: String(error) }) }
    this.#deps.log('warn', 'frame of an attempt refused', fields)
    closeSocket(socket, code, reason)
    this.#gone(socket)
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
    this.#readers.remove(socket)
    const attachment = attachmentOf(socket)
    if (attachment?.role !== 'line') return
    this.#lines.delete(attachment.connection)
    this.#step({ type: 'closed', connection: attachment.connection })
  }

  override async alarm(): Promise<void> {
    try {
      this.#step({ type: 'alarm' })
      await Promise.all(this.#pending)
    } catch (error) {
      this.#deps.log('error', 'alarm of a task log failed', { task_id: this.ctx.id.name, error: String(error) })
    } finally {
      // An alarm that throws is given up after six times; one that is not set is given up at once.
      if (isUnsettled(this.#state.durable) && (await this.ctx.storage.getAlarm()) === null) {
        await this.ctx.storage.setAlarm(this.#deps.clock.now() + finishRescueMs)
      }
    }
  }

  #step(input: TaskLogInput): void {
    const { state, effects } = stepTaskLog(this.#state, input, this.#deps.clock.now())
    const batches: Batch[] = []
    for (const effect of effects) if (effect.type === 'append') batches.push(...encodeBatches(effect.events))
    // If this throws, the state stays as it was, nothing is told, and the attempt sends it again.
    if (batches.length > 0 || state.durable !== this.#state.durable) this.#storage.save(batches, state.durable)
    this.#state = state
    if (batches.length > 0) this.#readers.lines(batches)
    for (const effect of effects) this.#do(effect)
  }

  #do(effect: TaskLogEffect): void {
    switch (effect.type) {
      case 'append':
        return
      case 'send':
        return sendOn(this.#lines.get(effect.connection), encodeFrame(effect.frame))
      case 'close': {
        const socket = this.#lines.get(effect.connection)
        this.#lines.delete(effect.connection)
        if (socket !== undefined) closeSocket(socket, effect.code, effect.reason)
        return
      }
      case 'deltas':
        return this.#readers.deltas(effect.deltas)
      case 'complete':
        return this.#readers.complete()
      case 'alarm':
        void (effect.at === null ? this.ctx.storage.deleteAlarm() : this.ctx.storage.setAlarm(effect.at))
        return
      case 'load':
        return this.#later(() => this.#load())
      case 'poke':
        return this.#later(() => this.#poke())
      case 'finish':
        return this.#later(() => this.#finish(effect.attempt, effect.outcome))
    }
  }

  #later(work: () => Promise<void>): void {
    const promise = work().finally(() => this.#pending.delete(promise))
    this.#pending.add(promise)
  }

  async #load(): Promise<void> {
    let task: Task | undefined
    try {
      task = await this.#deps.tasks.get(this.ctx.id.name ?? this.#state.durable.task_id, null)
    } catch (error) {
      this.#deps.log('warn', 'a task could not be read', { task_id: this.ctx.id.name, error: String(error) })
      return this.#step({ type: 'load_failed' })
    }
    this.#step({ type: 'loaded', task })
  }

  async #poke(): Promise<void> {
    const { task_id, cluster_id } = this.#state.durable
    try {
      await this.#deps.hubs.poke(cluster_id)
    } catch (error) {
      this.#deps.log('warn', 'hub was not poked', { task_id, error: String(error) })
    }
  }

  async #finish(attempt: number, outcome: TaskOutcome): Promise<void> {
    const { task_id, cluster_id } = this.#state.durable
    const ref = { task_id, attempt }
    const random = this.#deps.random.chance()
    let task: Task | undefined
    try {
      task = await finishTask(this.#deps, ref, outcome)
    } catch (error) {
      this.#deps.log('warn', 'a result could not be written yet', { ...ref, tries: this.#state.durable.tries, error: String(error) })
      return this.#step({ type: 'finish_failed', random })
    }
    this.#step({ type: 'finish_answered', task, random })
    if (task === undefined || !isTerminal(task.status)) return
    try {
      await this.#deps.rowEnded(cluster_id, ref)
    } catch (error) {
      this.#deps.log('warn', 'hub was not told of an end', { ...ref, error: String(error) })
    }
  }
}

const attachmentOf = (socket: WebSocket): Attachment | null => socket.deserializeAttachment() as Attachment | null

/** A row of the log takes one event whole, and the cursor is stored with every batch. */
function fits(frame: TaskUp, frameChars: number): boolean {
  if (frame.type !== 'events') return true
  if (frame.cursor.state !== undefined && JSON.stringify(frame.cursor.state).length > maxCursorBytes) return false
  // Only a frame that is large as a whole can hold an event that is.
  return frameChars <= maxRowChars || frame.events.every((event) => JSON.stringify(event.data).length < maxRowChars)
}
