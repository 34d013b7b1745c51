// One task's log as a pure machine. It promises (numbers are those of docs/faults.md): events are numbered 1…n without a hole (3); an attempt that is not
// the task's attempt any more changes nothing (7); a result is held before it is acknowledged, and sent to the row until the row has it (1);
// `task.finished` comes from the row, last and once. It numbers no event of an attempt before the row's own events are in the log.
// Effects are performed in their order, all before the next input; `durable` is stored with them.

import { cancelGraceS } from '@rdev/shared/domain/limits'
import { fullJitter } from '@rdev/shared/domain/backoff'
import { startCursor, type Cursor } from '@rdev/shared/domain/attempt'
import { isOwnType, type TaskEvent } from '@rdev/shared/domain/event'
import type { Failure } from '@rdev/shared/domain/failure'
import type { Step, StepContext } from '@rdev/shared/domain/step'
import { bareOutcome, isBare, isTerminal, type Task, type TaskOutcome } from '@rdev/shared/domain/task'
import { closeCodes } from '@rdev/shared/wire/limits'
import type { TaskDown, TaskUp } from '@rdev/shared/wire/task-frames'
import { instant } from './instant.ts'
import { finishedEvent, leasedEvent, queuedEvent, requeuedEvent } from './events.ts'
import { takenEvents, type Fill, type Sized } from './taken-events.ts'

/** The part of the state that is stored, so it survives restarts of the object; one row of its storage. */
export interface TaskLogMemory {
  /** Empty until the first sync. */
  readonly task_id: string
  readonly cluster_id: string
  /** Number of the last event. */
  readonly seq: number
  /** The attempt whose events are taken; 0 before the first lease. */
  readonly attempt: number
  /** Highest epoch that opened a line for the attempt. */
  readonly epoch: number
  /** How many of the attempt's own events are held. */
  readonly received: number
  readonly cursor: Cursor
  /** How the attempt ended: held until the row has it, and afterwards for an attempt that reconnects. */
  readonly result: TaskOutcome | null
  /** The row has left this attempt (requeued or ended), so the attempt adds nothing more. */
  readonly over: boolean
  readonly finished: boolean
  readonly cancel: { readonly grace_s: number } | null
  /** Failed tries to write the result to the row. */
  readonly tries: number
  readonly fill: Fill
}

/** The socket of an attempt. */
export interface Line {
  readonly connection: string
  readonly attempt: number
  readonly epoch: number
}

export interface TaskLogState {
  readonly durable: TaskLogMemory
  readonly line: Line | null
  /** A line of an attempt that this log does not know; it waits while the row is read. */
  readonly waiting: Line | null
  readonly finishing: boolean
}

export type TaskLogInput =
  /** The object was loaded; `lines` are the sockets of attempts that survived its sleep. */
  | { readonly type: 'woke'; readonly lines: readonly Line[] }
  /** A row that a caller has read; it may be stale. */
  | { readonly type: 'sync'; readonly task: Task }
  /** The answer to `load`: the current row; undefined: there is none. */
  | { readonly type: 'loaded'; readonly task: Task | undefined }
  | { readonly type: 'load_failed' }
  | { readonly type: 'connected'; readonly line: Line }
  | { readonly type: 'frame'; readonly connection: string; readonly frame: TaskUp & Sized }
  | { readonly type: 'closed'; readonly connection: string }
  | { readonly type: 'cancel'; readonly grace_s: number }
  /** The hub says that this attempt will report nothing more. A result that is held already wins. */
  | { readonly type: 'end'; readonly attempt: number; readonly outcome: TaskOutcome }
  /** The row after `finish`; undefined: there is none. */
  | { readonly type: 'finish_answered'; readonly task: Task | undefined }
  | { readonly type: 'finish_failed'; readonly why: Failure }
  | { readonly type: 'alarm' }

export type TaskLogEffect =
  /** Store the events, then send them to every reader. */
  | { readonly type: 'append'; readonly events: readonly TaskEvent[] }
  | { readonly type: 'send'; readonly connection: string; readonly frame: TaskDown }
  | { readonly type: 'close'; readonly connection: string; readonly code: number; readonly reason: string }
  /** Send to readers that asked for deltas; not stored. */
  | { readonly type: 'deltas'; readonly deltas: Extract<TaskUp, { type: 'deltas' }>['deltas'] }
  /** Read the row; answer with `loaded` or `load_failed`. */
  | { readonly type: 'load' }
  /** Write the outcome to the row; answer with `finish_answered` or `finish_failed`. */
  | { readonly type: 'finish'; readonly attempt: number; readonly outcome: TaskOutcome }
  /** Set the alarm to that time; null: delete it. */
  | { readonly type: 'alarm'; readonly at: number | null }
  /** The row is queued again, and its writer may have died before it told the hub. A hint. */
  | { readonly type: 'poke' }
  /** The log is complete: close the readers. */
  | { readonly type: 'complete' }

export type TaskLogStep = Step<TaskLogState, TaskLogEffect>

/** The alarm that is set when a result is held: it wakes the object if it dies before the row has the result. */
export const finishRescueMs = 10_000
/** How often a result is written again that the row refused in every form: only another version of the program or of the database helps. */
export const refusedAgainMs = 10 * 60_000

const emptyMemory: TaskLogMemory = {
  task_id: '',
  cluster_id: '',
  seq: 0,
  attempt: 0,
  epoch: 0,
  received: 0,
  cursor: startCursor,
  result: null,
  over: false,
  finished: false,
  cancel: null,
  tries: 0,
  fill: { chars: 0, full: false },
}

/** Memory that an older version wrote lacks what came later. */
export const initialTaskLog = (durable: Partial<TaskLogMemory> = emptyMemory): TaskLogState => ({
  durable: { ...emptyMemory, ...durable },
  line: null,
  waiting: null,
  finishing: false,
})

/** `now` is wall time. Never throws. */
export function stepTaskLog(state: TaskLogState, input: TaskLogInput, { now, random }: StepContext): TaskLogStep {
  switch (input.type) {
    case 'woke':
      return woke(state, input.lines, now)
    case 'sync':
      return sync(state, input.task, now)
    case 'loaded':
      return loaded(state, input.task, now)
    case 'load_failed':
      return refuseWaiting(state, closeCodes.tryAgain, 'the task could not be read')
    case 'connected':
      return connected(state, input.line)
    case 'frame':
      return state.line?.connection === input.connection ? frame(state, state.line, input.frame, now) : { state, effects: [] }
    case 'closed':
      return { state: without(state, input.connection), effects: [] }
    case 'cancel':
      return cancel(state, input.grace_s)
    case 'end':
      return end(state, input.attempt, input.outcome, now)
    case 'finish_answered':
      return finishAnswered(state, input.task, random, now)
    case 'finish_failed':
      return finishFailed(state, input.why, random, now)
    case 'alarm':
      return tellRow(state, now)
  }
}

/** A result that the row does not have yet. */
export const isUnsettled = (durable: TaskLogMemory): boolean => durable.result !== null && !durable.over

/** Whether the log has received anything of this attempt: an event, or its result. */
export const hasReceived = ({ attempt, received, result }: TaskLogMemory, of: number): boolean =>
  attempt === of && (received > 0 || result !== null)

const change = (state: TaskLogState, durable: Partial<TaskLogMemory>): TaskLogState => ({
  ...state,
  durable: { ...state.durable, ...durable },
})

function without(state: TaskLogState, connection: string): TaskLogState {
  const line = state.line?.connection === connection ? null : state.line
  const waiting = state.waiting?.connection === connection ? null : state.waiting
  return line === state.line && waiting === state.waiting ? state : { ...state, line, waiting }
}

const close = (connection: string, code: number, reason: string): TaskLogEffect => ({ type: 'close', connection, code, reason })

function ack({ durable, line }: TaskLogState): TaskLogEffect[] {
  if (line === null) return []
  const { received, seq, result } = durable
  return [{ type: 'send', connection: line.connection, frame: { type: 'ack', received, seq, result: result !== null } }]
}

/** Keeps the attempt's own line. Other sockets are closed and come back: they were superseded, or waited for a read that the sleep ended. */
function woke(state: TaskLogState, lines: readonly Line[], now: number): TaskLogStep {
  const { attempt, epoch } = state.durable
  const line = lines.findLast((each) => each.attempt === attempt && each.epoch === epoch) ?? null
  const effects = lines.filter((each) => each !== line).map((each) => close(each.connection, closeCodes.tryAgain, 'the log was away'))
  const told = tellRow({ ...state, line }, now)
  // The alarm itself may have woken the object: setting an alarm now would cancel the call that is on its way. One was set with the result.
  return { state: told.state, effects: [...effects, ...told.effects.filter(({ type }) => type !== 'alarm')] }
}

function tellRow(state: TaskLogState, now: number): TaskLogStep {
  const { durable } = state
  if (!isUnsettled(durable) || durable.result === null) return { state, effects: [] }
  const rescue: TaskLogEffect = { type: 'alarm', at: now + finishRescueMs }
  if (state.finishing) return { state, effects: [rescue] }
  return {
    state: { ...state, finishing: true },
    effects: [rescue, { type: 'finish', attempt: durable.attempt, outcome: durable.result }],
  }
}

/** Rows only go forward: to a higher attempt, or leased → running → queued or ended of the same one. A row older than the log is ignored. */
function sync(state: TaskLogState, task: Task, now: number): TaskLogStep {
  let durable = state.durable
  if (durable.finished) return { state, effects: [] }
  if (durable.task_id === '') durable = { ...durable, task_id: task.id, cluster_id: task.cluster_id }

  const events: TaskEvent[] = []
  const next = (): number => durable.seq + events.length + 1
  if (durable.seq === 0) events.push(queuedEvent(task, next()))
  const begun = task.attempt > durable.attempt
  if (begun) {
    if (durable.attempt > 0 && !durable.over) events.push(requeuedEvent(task, durable.attempt, durable.result, next(), now))
    events.push(leasedEvent(task, next(), now))
    durable = {
      ...durable,
      seq: durable.seq + events.length,
      attempt: task.attempt,
      epoch: 0,
      received: 0,
      cursor: startCursor,
      result: null,
      over: false,
      tries: 0,
      fill: { ...durable.fill, full: false },
    }
    return settle({ ...state, durable, finishing: false }, task, events, now)
  }
  return settle({ ...state, durable: { ...durable, seq: durable.seq + events.length } }, task, events, now)
}

/** The second half of a sync: the log is at the row's attempt or beyond; `told` are the events of the first half, numbered already. */
function settle(before: TaskLogState, task: Task, told: readonly TaskEvent[], now: number): TaskLogStep {
  let { durable, line, waiting } = before
  const events = [...told]
  const effects: TaskLogEffect[] = []

  if (task.attempt === durable.attempt) {
    const ended = isTerminal(task.status)
    const requeued = task.status === 'queued' && task.attempt > 0
    if (ended || (requeued && !durable.over)) {
      const seq = durable.seq + 1
      events.push(ended ? finishedEvent(task, durable.result, seq, now) : requeuedEvent(task, task.attempt, durable.result, seq, now))
      if (isUnsettled(durable)) effects.push({ type: 'alarm', at: null })
      if (isUnsettled(durable) && requeued) effects.push({ type: 'poke' })
      durable = { ...durable, seq, over: true, finished: ended }
    }
    if (!durable.over && task.cancel_requested_at !== null && durable.cancel === null) {
      const grace = { grace_s: cancelGraceS }
      durable = { ...durable, cancel: grace }
      if (line !== null) effects.push({ type: 'send', connection: line.connection, frame: { type: 'cancel', ...grace } })
    }
  }

  // An attempt whose result is held closes its line itself after the acknowledgement. Any other line is of no use now.
  if (line !== null && (line.attempt !== durable.attempt || (durable.over && durable.result === null))) {
    effects.push(close(line.connection, closeCodes.stale, 'the task has gone on'))
    line = null
  }
  const state: TaskLogState = { ...before, durable, line, waiting }
  const all: TaskLogEffect[] = [
    ...(events.length > 0 ? [{ type: 'append', events } satisfies TaskLogEffect] : []),
    ...effects,
    ...(durable.finished ? [{ type: 'complete' } satisfies TaskLogEffect] : []),
  ]
  if (waiting === null || waiting.attempt > durable.attempt) return { state, effects: all }
  const admitted = connected({ ...state, waiting: null }, waiting)
  return { state: admitted.state, effects: [...all, ...admitted.effects] }
}

function loaded(state: TaskLogState, task: Task | undefined, now: number): TaskLogStep {
  const synced = task === undefined ? { state, effects: [] } : sync(state, task, now)
  const refused = refuseWaiting(synced.state, closeCodes.stale, 'no such attempt')
  return { state: refused.state, effects: [...synced.effects, ...refused.effects] }
}

function refuseWaiting(state: TaskLogState, code: number, reason: string): TaskLogStep {
  if (state.waiting === null) return { state, effects: [] }
  return { state: { ...state, waiting: null }, effects: [close(state.waiting.connection, code, reason)] }
}

function connected(state: TaskLogState, line: Line): TaskLogStep {
  const { durable } = state
  if (line.attempt > durable.attempt) {
    // The agent knows the lease before this log does. No event may precede `task.leased`, so the row is read first.
    const older = refuseWaiting(state, closeCodes.superseded, 'a newer connection took over')
    return { state: { ...state, waiting: line }, effects: [...older.effects, { type: 'load' }] }
  }
  const past = line.attempt < durable.attempt || (durable.over && durable.result === null)
  if (past || line.epoch < durable.epoch) return { state, effects: [close(line.connection, closeCodes.stale, 'the task has gone on')] }

  const { received, seq, cursor, result } = durable
  const pending = durable.cancel !== null && result === null ? [{ type: 'cancel' as const, ...durable.cancel }] : []
  const effects: TaskLogEffect[] = []
  if (state.line !== null) effects.push(close(state.line.connection, closeCodes.superseded, 'a newer connection took over'))
  const resume = { type: 'resume' as const, received, seq, cursor, pending, result: result !== null }
  effects.push({ type: 'send', connection: line.connection, frame: resume })
  const kept = line.epoch === durable.epoch ? state : change(state, { epoch: line.epoch })
  return { state: { ...kept, line }, effects }
}

function frame(state: TaskLogState, line: Line, up: TaskUp, now: number): TaskLogStep {
  switch (up.type) {
    case 'deltas':
      return { state, effects: [{ type: 'deltas', deltas: up.deltas }] }
    case 'events':
      return eventsFrame(state, line, up)
    case 'result':
      return resultFrame(state, line, up, now)
  }
}

const hangUp = (state: TaskLogState, line: Line, code: number, reason: string): TaskLogStep => ({
  state: { ...state, line: null },
  effects: [close(line.connection, code, reason)],
})

function eventsFrame(state: TaskLogState, line: Line, up: Extract<TaskUp, { type: 'events' }> & Sized): TaskLogStep {
  const { durable } = state
  if (up.after + up.events.length <= durable.received && up.after < durable.received) return { state, effects: ack(state) }
  if (up.after !== durable.received) return hangUp(state, line, closeCodes.gap, 'events do not follow on what is held')
  if (durable.result !== null && up.events.length > 0) return hangUp(state, line, closeCodes.malformed, 'events after the result')
  if (up.events.some((event) => isOwnType(event.type)))
    return hangUp(state, line, closeCodes.malformed, 'an event that only the log writes')

  const { events, ...fill } = takenEvents(up, durable.fill, durable)
  const cursor = durable.result === null ? up.cursor : durable.cursor
  const kept = change(state, { seq: durable.seq + events.length, received: durable.received + up.events.length, cursor, fill })
  return { state: kept, effects: [...(events.length > 0 ? [{ type: 'append' as const, events }] : []), ...ack(kept)] }
}

function resultFrame(state: TaskLogState, line: Line, up: Extract<TaskUp, { type: 'result' }>, now: number): TaskLogStep {
  const { durable } = state
  if (durable.result !== null) return { state, effects: ack(state) }
  if (up.after !== durable.received) return hangUp(state, line, closeCodes.gap, 'the result does not follow on what is held')
  const kept = change(state, { result: up.outcome, tries: 0 })
  const told = tellRow(kept, now)
  return { state: told.state, effects: [...ack(kept), ...told.effects] }
}

function cancel(state: TaskLogState, graceS: number): TaskLogStep {
  const { durable, line } = state
  if (durable.finished || durable.result !== null) return { state, effects: [] }
  const kept = durable.cancel?.grace_s === graceS ? state : change(state, { cancel: { grace_s: graceS } })
  if (line === null) return { state: kept, effects: [] }
  return { state: kept, effects: [{ type: 'send', connection: line.connection, frame: { type: 'cancel', grace_s: graceS } }] }
}

function end(state: TaskLogState, attempt: number, outcome: TaskOutcome, now: number): TaskLogStep {
  const { durable, line } = state
  if (attempt !== durable.attempt || durable.over) return { state, effects: [] }
  if (durable.result !== null) return tellRow(state, now)
  const told = tellRow({ ...change(state, { result: outcome, tries: 0 }), line: null }, now)
  if (line === null) return told
  return { state: told.state, effects: [close(line.connection, closeCodes.stale, 'the attempt was given up'), ...told.effects] }
}

function finishAnswered(before: TaskLogState, task: Task | undefined, random: number, now: number): TaskLogStep {
  const state = { ...before, finishing: false }
  const { durable } = state
  if (!isUnsettled(durable) || durable.result === null) return { state, effects: [] }
  if (task === undefined) {
    // The row was deleted while the attempt ran. Readers still get an end, and the row is not asked again.
    const { status, error_code, error } = durable.result
    const seq = durable.seq + 1
    const data = { status, ...(error_code && { error_code }), ...(error && { error }), duration_ms: durable.result.duration_ms ?? 0 }
    const event: TaskEvent = { seq, type: 'task.finished', time: instant(now), task_id: durable.task_id, attempt: durable.attempt, data }
    return {
      state: change(state, { seq, over: true, finished: true }),
      effects: [{ type: 'append', events: [event] }, { type: 'alarm', at: null }, { type: 'complete' }],
    }
  }
  const synced = sync(state, task, now)
  // The row ended by another writer, which has told the hub.
  if (!isUnsettled(synced.state.durable)) return { state: synced.state, effects: synced.effects.filter(({ type }) => type !== 'poke') }
  const failed = finishFailed(synced.state, 'away', random, now)
  return { state: failed.state, effects: [...synced.effects, ...failed.effects] }
}

function finishFailed(state: TaskLogState, why: Failure, random: number, now: number): TaskLogStep {
  const { durable } = state
  if (!isUnsettled(durable) || durable.result === null) return { state: { ...state, finishing: false }, effects: [] }
  if (why === 'data' && !isBare(durable.result)) {
    // The row would never take this result. It takes how the attempt ended, which is what must not be lost.
    return tellRow({ ...change(state, { result: bareOutcome(durable.result) }), finishing: false }, now)
  }
  const again = now + (why === 'away' ? fullJitter(durable.tries, random) : refusedAgainMs)
  return { state: { ...change(state, { tries: durable.tries + 1 }), finishing: false }, effects: [{ type: 'alarm', at: again }] }
}
