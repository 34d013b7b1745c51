// The task log's object as the simulator runs it: the real machine and the real use case, effects as control-plane/src/objects/task-log/object.ts does them.

import type { TaskEvent } from '@rdev/shared/domain/event'
import { isTerminal, type Task, type TaskOutcome } from '@rdev/shared/domain/task'
import type { TaskUp } from '@rdev/shared/wire/task-frames'
import {
  finishRescueMs,
  hasReceived,
  initialTaskLog,
  isUnsettled,
  stepTaskLog,
  type Line,
  type TaskLogEffect,
  type TaskLogInput,
  type TaskLogMemory,
  type TaskLogState,
} from '../../control-plane/src/objects/task-log/machine.ts'
import type { AttemptRef } from '../../control-plane/src/ports/dispatch-store.ts'
import { finishTask } from '../../control-plane/src/usecases/finish-task.ts'
import type { Life } from '../world/kernel.ts'
import type { SimConnection } from '../world/network.ts'
import type { ControlPlane } from './control-plane.ts'
import type { Instance, ObjectCell } from './objects.ts'

export interface StoredLog {
  readonly memory: TaskLogMemory
  readonly events: TaskEvent[]
}

/** A reader's socket: it outlives a sleep, and ends with a reset. */
export interface ReaderSocket {
  lines(events: readonly TaskEvent[]): void
  complete(): void
  cut(): void
}

export class TaskLogShell implements Instance {
  readonly #cell: ObjectCell<StoredLog>
  readonly #plane: ControlPlane
  readonly #life: Life
  #state: TaskLogState
  #pending = 0

  constructor(cell: ObjectCell<StoredLog>, plane: ControlPlane) {
    this.#cell = cell
    this.#plane = plane
    this.#life = cell.life
    this.#state = initialTaskLog(cell.stored?.memory)
    const lines = [...cell.sockets.values()].flatMap((socket) => (socket.attachment === undefined ? [] : [socket.attachment as Line]))
    this.#step({ type: 'woke', lines })
  }

  get durable(): TaskLogMemory {
    return this.#state.durable
  }

  sync(task: Task): void {
    this.#step({ type: 'sync', task })
  }
  cancel(task: Task, graceS: number): void {
    this.#step({ type: 'cancel', grace_s: graceS })
    this.#step({ type: 'sync', task })
  }
  received(task: Task): boolean {
    this.#step({ type: 'sync', task })
    return hasReceived(this.#state.durable, task.attempt)
  }
  end(task: Task, outcome: TaskOutcome): void {
    this.#step({ type: 'sync', task })
    this.#step({ type: 'end', attempt: task.attempt, outcome })
  }

  read(after: number, reader: ReaderSocket): void {
    this.#plane.readersOf(this.#cell.name).add(reader)
    const events = (this.#cell.stored?.events ?? []).filter((event) => event.seq > after)
    if (events.length > 0) reader.lines(events)
    if (this.#state.durable.finished) this.#complete()
  }

  connected(socket: SimConnection): void {
    const [, , attempt, epoch] = socket.target.split(' ')
    const line: Line = { connection: socket.id, attempt: Number(attempt), epoch: Number(epoch) }
    socket.attachment = line
    this.#step({ type: 'connected', line })
    const { memory } = this.#cell.stored ?? {}
    if (memory?.attempt === line.attempt) this.#plane.opened(`${this.#cell.name}.${line.attempt}`, memory.epoch)
  }

  frame(socket: SimConnection, frame: object): void {
    this.#plane.check('taskUp', frame)
    const before = this.#cell.stored
    const told = before?.events.length ?? 0
    const { attempt, epoch: its } = socket.attachment as Line
    const epoch = this.#plane.newestEpoch(`${this.#cell.name}.${attempt}`)
    this.#step({ type: 'frame', connection: socket.id, frame: frame as TaskUp })
    const grown = (this.#cell.stored?.events.length ?? 0) > told
    if (!grown || before === undefined) return
    const here = before.memory.attempt
    if (attempt !== here) this.#plane.onStale(this.#cell.name, attempt, `when it was at attempt ${here}`)
    else if (its < epoch) this.#plane.onStale(this.#cell.name, attempt, `of epoch ${its}, after it had opened one of epoch ${epoch}`)
  }

  closed(socket: SimConnection): void {
    this.#step({ type: 'closed', connection: socket.id })
  }

  alarm(): void {
    this.#step({ type: 'alarm' })
    this.#settle()
  }

  idle(): boolean {
    return this.#pending === 0
  }

  /** The alarm's handler returns when nothing is awaited any more. */
  #settle(): void {
    if (!this.#cell.handling || this.#pending > 0) return
    this.#cell.alarmDone()
    if (isUnsettled(this.#state.durable) && this.#cell.alarmAt === null) this.#cell.setAlarm(this.#plane.now() + finishRescueMs)
  }

  #step(input: TaskLogInput): void {
    const cell = this.#cell
    const { state, effects } = stepTaskLog(this.#state, input, this.#plane.now())
    cell.kernel.say(cell.name, () => describe(input, effects))
    const events = effects.flatMap((effect) => (effect.type === 'append' ? effect.events : []))
    const writes = events.length > 0 || state.durable !== this.#state.durable || effects.some(({ type }) => type === 'alarm')
    let left = Infinity
    if (writes) {
      left = cell.commit(() => {
        const stored = cell.stored ?? { memory: state.durable, events: [] }
        stored.events.push(...events)
        cell.stored = { memory: state.durable, events: stored.events }
        for (const effect of effects) if (effect.type === 'alarm') cell.setAlarm(effect.at)
      })
    }
    this.#state = state
    const tell: (() => void)[] = effects.map((effect) => () => this.#do(effect))
    if (events.length > 0) tell.unshift(() => this.#tellReaders(events))
    for (const each of tell.slice(0, Math.min(left, tell.length))) each()
    if (left !== Infinity) cell.crash()
  }

  #tellReaders(events: readonly TaskEvent[]): void {
    for (const reader of this.#plane.readersOf(this.#cell.name)) reader.lines(events)
  }

  #complete(): void {
    const readers = this.#plane.readersOf(this.#cell.name)
    for (const reader of readers) reader.complete()
    readers.clear()
  }

  #do(effect: TaskLogEffect): void {
    const { network } = this.#plane
    switch (effect.type) {
      case 'append':
      case 'alarm':
      case 'deltas':
        return
      case 'send': {
        const socket = this.#cell.sockets.get(effect.connection)
        this.#plane.check('taskDown', effect.frame)
        if (socket !== undefined) network.sendDown(socket, effect.frame)
        return
      }
      case 'close': {
        const socket = this.#cell.sockets.get(effect.connection)
        this.#cell.sockets.delete(effect.connection)
        if (socket !== undefined) network.serverClose(socket, effect.code)
        return
      }
      case 'complete':
        return this.#complete()
      case 'load':
        return this.#later(this.#load())
      case 'poke':
        return this.#later(
          this.#plane
            .depsOf(this.#life)
            .hubs.poke(this.#state.durable.cluster_id)
            .catch(() => {}),
        )
      case 'finish':
        return this.#later(this.#finish(effect.attempt, effect.outcome))
    }
  }

  #later(work: Promise<void>): void {
    this.#pending++
    const cell = this.#cell
    cell.kernel.touched()
    void work.finally(() => {
      this.#pending--
      this.#settle()
    })
  }

  /** An answer from outside begins a turn of its own. */
  #turn(input: TaskLogInput): void {
    this.#cell.turn(this.#life, () => this.#step(input))
  }

  async #load(): Promise<void> {
    let task: Task | undefined
    try {
      task = await this.#plane.depsOf(this.#life).tasks.get(this.#cell.name, null)
    } catch {
      return this.#turn({ type: 'load_failed' })
    }
    this.#turn({ type: 'loaded', task })
  }

  async #finish(attempt: number, outcome: TaskOutcome): Promise<void> {
    const { task_id, cluster_id } = this.#state.durable
    const ref: AttemptRef = { task_id, attempt }
    const random = this.#cell.kernel.random.chance()
    let task: Task | undefined
    try {
      task = await finishTask(this.#plane.depsOf(this.#life), ref, outcome)
    } catch {
      return this.#turn({ type: 'finish_failed', random })
    }
    this.#turn({ type: 'finish_answered', task, random })
    if (task === undefined || !isTerminal(task.status)) return
    try {
      await this.#plane.rowEnded(this.#life, cluster_id, ref)
    } catch {
      // A hint.
    }
  }
}

function describe(input: TaskLogInput, effects: readonly TaskLogEffect[]): string {
  const rest = (value: object, ...keys: string[]) =>
    Object.entries(value)
      .filter(([key]) => keys.includes(key))
      .map(([key, what]) => ` ${key}=${typeof what === 'object' ? JSON.stringify(what) : String(what)}`)
      .join('')
  const told = effects.map((effect) => {
    switch (effect.type) {
      case 'append':
        return `append ${effect.events.map((event) => `${event.seq}:${event.type}`).join(',')}`
      case 'send':
        return `send ${effect.frame.type}${rest(effect.frame, 'received', 'result', 'pending')} on ${effect.connection}`
      case 'close':
        return `close ${effect.connection} ${effect.code}`
      case 'finish':
        return `finish attempt ${effect.attempt} ${effect.outcome.status}`
      default:
        return effect.type
    }
  })
  let what = ''
  if (input.type === 'frame') {
    const { frame } = input
    what = ` ${frame.type}${rest(frame, 'after')}${frame.type === 'events' ? ` ${frame.events.length} events` : ''} on ${input.connection}`
  } else if (input.type === 'sync' || input.type === 'loaded' || input.type === 'finish_answered') {
    what = input.task === undefined ? ' nothing' : ` row ${input.task.status} attempt ${input.task.attempt}`
  } else if (input.type === 'connected') what = ` ${input.line.connection} attempt ${input.line.attempt} epoch ${input.line.epoch}`
  else what = rest(input, 'connection', 'attempt', 'grace_s')
  return `${input.type}${what}${told.length > 0 ? ` → ${told.join('; ')}` : ''}`
}
