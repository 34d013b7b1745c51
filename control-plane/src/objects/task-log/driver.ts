// Drives a task's log: stores what a step changed, then performs its effects; decodes frames of the attempt's line; serves readers; reads and
// writes the task's row. The decisions are in machine.ts. Nothing here keeps the object awake while nothing happens.

import type { AttemptRef } from '@rdev/shared/domain/attempt'
import { isTerminal, type Task, type TaskOutcome } from '@rdev/shared/domain/task'
import { splitData } from '@rdev/shared/domain/event-parts'
import { decodeFrame, encodeFrame } from '@rdev/shared/wire/codec'
import { closeCodes, maxCursorBytes } from '@rdev/shared/wire/limits'
import { taskUpSchema, type TaskUp } from '@rdev/shared/wire/task-frames'
import type { Deps } from '../../ports/deps.ts'
import { finishTask } from '../../usecases/finish-task.ts'
import { MachineLoop, type LoopDeps } from '../machine-loop.ts'
import type { ObjectDriver, ObjectPlatform } from '../platform.ts'
import { encodeBatches, entriesAfter, maxRowChars, pageOf, type Batch } from './batches.ts'
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
} from './machine.ts'
import { Readers, type ReaderAttachment } from './readers.ts'

export interface TaskLogDeps extends Pick<Deps, 'tasks' | 'dispatch' | 'hubs'>, LoopDeps {
  /** Tells the hub that a row has ended, so that it may claim for the free slot. A hint: it may be lost. */
  readonly rowEnded: (clusterId: string, ref: AttemptRef) => Promise<void>
}

export type TaskLogAttachment = ReaderAttachment | ({ readonly role: 'line' } & Pick<Line, 'attempt' | 'epoch'>)

/** What one step stores, all or nothing. */
export interface TaskLogWrite {
  readonly batches: readonly Batch[]
  /** Null: unchanged; then there are no batches. */
  readonly memory: TaskLogMemory | null
  /** Wall time; null: delete the alarm; undefined: unchanged. Unlike with `setAlarm`, sending waits until it is written. */
  readonly alarmAt: number | null | undefined
}

export interface TaskLogPlatform extends ObjectPlatform<TaskLogMemory | undefined, TaskLogWrite, TaskLogAttachment> {
  /** Stored batches in order, from the one that holds what follows `after`. */
  rows(after: number): Iterable<Batch>
}

export type OnTaskLogStep = (input: TaskLogInput, effects: readonly TaskLogEffect[]) => void

export class TaskLogDriver implements ObjectDriver {
  readonly #platform: TaskLogPlatform
  readonly #deps: TaskLogDeps
  readonly #readers: Readers
  readonly #lines = new Map<string, Line>()
  readonly #loop: MachineLoop<TaskLogState, TaskLogInput, TaskLogEffect>
  /** Batches stored by the current step and not sent to readers yet. */
  #fresh: Batch[] = []

  constructor(platform: TaskLogPlatform, deps: TaskLogDeps, onStep?: OnTaskLogStep) {
    this.#platform = platform
    this.#deps = deps
    this.#readers = new Readers(platform)
    this.#loop = new MachineLoop<TaskLogState, TaskLogInput, TaskLogEffect>(platform, deps, {
      initial: initialTaskLog(platform.load()),
      fields: { task_id: platform.name },
      step: stepTaskLog,
      save: (after, before, effects) => this.#save(after, before, effects),
      perform: (effect) => this.#perform(effect),
      onStep,
    })
    for (const [connection, attachment] of platform.connections()) {
      if (attachment.role === 'reader') this.#readers.add(connection, attachment)
      else this.#lines.set(connection, { connection, attempt: attachment.attempt, epoch: attachment.epoch })
    }
    this.#loop.step({ type: 'woke', lines: [...this.#lines.values()] })
  }

  // What the Worker and the hub call.

  sync(task: Task): void {
    this.#loop.step({ type: 'sync', task })
  }

  cancel(task: Task, graceS: number): void {
    this.#loop.step({ type: 'cancel', grace_s: graceS })
    this.sync(task)
  }

  /** Whether the log holds anything of the row's attempt: an event, or its result. */
  received(task: Task): boolean {
    this.sync(task)
    return hasReceived(this.#loop.state.durable, task.attempt)
  }

  /** Ends the attempt with this outcome, unless the log holds its result already: it will report nothing more. */
  end(task: Task, outcome: TaskOutcome): void {
    this.sync(task)
    this.#loop.step({ type: 'end', attempt: task.attempt, outcome })
  }

  page(after: number, limit: number): { body: string; finished: boolean } {
    const { body, last } = pageOf(this.#platform.rows(after), after, limit)
    const { seq, finished } = this.#loop.state.durable
    return { body, finished: finished && last >= seq }
  }

  // Sockets. The Worker has authenticated them.

  /** The line of an attempt. */
  connectLine(line: Line): void {
    this.#platform.accept(line.connection, { role: 'line', attempt: line.attempt, epoch: line.epoch })
    this.#lines.set(line.connection, line)
    this.#loop.step({ type: 'connected', line })
  }

  connectReader(connection: string, after: number, wants: ReaderAttachment['wants']): void {
    const attachment: ReaderAttachment = { role: 'reader', wants }
    this.#platform.accept(connection, attachment)
    this.#readers.add(connection, attachment)
    this.#readers.catchUp(connection, entriesAfter(this.#platform.rows(after), after))
    if (this.#loop.state.durable.finished) this.#readers.complete()
  }

  message(connection: string, message: string | ArrayBuffer): void {
    if (this.#readers.has(connection)) return this.#readers.taken(connection, message)
    const line = this.#lines.get(connection)
    if (line === undefined) return
    const decoded = decodeFrame(taskUpSchema, message)
    const chars = typeof message === 'string' ? message.length : 0
    if (!decoded.ok) {
      if (decoded.reason !== 'unknown_type') this.#refuse(line, closeCodes.malformed, decoded.reason.replace('_', ' '))
    } else if (!fits(decoded.frame, chars)) {
      this.#refuse(line, closeCodes.malformed, 'an event or cursor is too large')
    } else {
      try {
        this.#loop.step({ type: 'frame', connection, frame: { ...decoded.frame, chars } })
      } catch (error) {
        // Nothing was stored or acknowledged, so the attempt reconnects and sends it again.
        this.#refuse(line, closeCodes.tryAgain, 'could not be stored', error)
      }
    }
  }

  closed(connection: string): void {
    this.#readers.remove(connection)
    if (this.#lines.delete(connection)) this.#loop.step({ type: 'closed', connection })
  }

  alarm(): Promise<void> {
    return this.#loop.alarm(
      'alarm of a task log failed',
      () => ({ type: 'alarm' }),
      () => (isUnsettled(this.#loop.state.durable) ? this.#deps.clock.now() + finishRescueMs : null),
    )
  }

  #refuse({ connection, attempt }: Line, code: number, reason: string, error?: unknown): void {
    this.#loop.log('warn', 'frame of an attempt refused', { attempt, reason, ...(error !== undefined && { error: String(error) }) })
    this.#platform.close(connection, code, reason)
    this.closed(connection)
  }

  #save(after: TaskLogState, before: TaskLogState, effects: readonly TaskLogEffect[]): void {
    const batches: Batch[] = []
    let alarmAt: number | null | undefined
    for (const effect of effects) {
      if (effect.type === 'append') batches.push(...encodeBatches(effect.events))
      if (effect.type === 'alarm') alarmAt = effect.at
    }
    const memory = batches.length > 0 || after.durable !== before.durable ? after.durable : null
    if (memory !== null || alarmAt !== undefined) this.#platform.commit({ batches, memory, alarmAt })
    this.#fresh = batches
  }

  #perform(effect: TaskLogEffect): void {
    switch (effect.type) {
      case 'append':
        return this.#readers.entries(this.#fresh.splice(0))
      case 'alarm':
        // The platform's `commit` has stored it with the rest.
        return
      case 'send':
        return this.#platform.send(effect.connection, encodeFrame(effect.frame))
      case 'close':
        this.#lines.delete(effect.connection)
        return this.#platform.close(effect.connection, effect.code, effect.reason)
      case 'deltas':
        return this.#readers.deltas(effect.deltas.flatMap((delta) => splitData(delta.data).map((data) => ({ ...delta, data }))))
      case 'complete':
        return this.#readers.complete()
      case 'load':
        return this.#load()
      case 'poke':
        return this.#loop.hint('hub was not poked', () => this.#deps.hubs.poke(this.#loop.state.durable.cluster_id))
      case 'finish':
        return this.#finish(effect.attempt, effect.outcome)
    }
  }

  #load(): void {
    const id = this.#platform.name || this.#loop.state.durable.task_id
    const question = async () => ({ type: 'loaded' as const, task: await this.#deps.tasks.get(id, null) })
    this.#loop.ask('a task could not be read', question, () => ({ type: 'load_failed' }))
  }

  #finish(attempt: number, outcome: TaskOutcome): void {
    const { task_id, cluster_id } = this.#loop.state.durable
    const ref = { task_id, attempt }
    const question = async () => ({ type: 'finish_answered' as const, task: await finishTask(this.#deps, ref, outcome) })
    this.#loop.ask('a result could not be written yet', question, (why) => ({ type: 'finish_failed', why }), {
      fields: () => ({ attempt, tries: this.#loop.state.durable.tries }),
      after: ({ task }) => {
        if (task === undefined || !isTerminal(task.status)) return
        this.#loop.hint('hub was not told of an end', () => this.#deps.rowEnded(cluster_id, ref), { attempt })
      },
    })
  }
}

/** Whether the frame can be stored: an event must fit into one row, and the cursor is stored with every batch. */
function fits(frame: TaskUp, frameChars: number): boolean {
  if (frame.type !== 'events') return true
  if (frame.cursor.state !== undefined && JSON.stringify(frame.cursor.state).length > maxCursorBytes) return false
  // Only a large frame can hold a large event, so small frames need no second look.
  return frameChars <= maxRowChars || frame.events.every((event) => JSON.stringify(event.data).length < maxRowChars)
}
