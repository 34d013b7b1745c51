// An attempt's line to its task's log, without the socket. It promises that the log gets every event once and in order, each together
// with the cursor after it, through any number of connections. It keeps only what the log has not acknowledged, within a window. When
// the window is full it takes nothing more, so the pod's files are not read and memory stays bounded. If the log's position does not lie
// in the window (the log lost data, or another agent wrote), it asks for a restart from the log's own cursor.

import type { Cursor } from '@rdev/shared/domain/attempt'
import { startCursor } from '@rdev/shared/domain/attempt'
import type { EventData } from '@rdev/shared/domain/event'
import type { Step, StepContext } from '@rdev/shared/domain/step'
import type { TaskOutcome } from '@rdev/shared/domain/task'
import { closeCodes, maxBatchBytes, maxBatchEvents, maxBatchWaitMs, maxUnackedBytes } from '@rdev/shared/wire/limits'
import type { TaskCommand, TaskDown } from '@rdev/shared/wire/task-frames'

/** Units in the window. It bounds the cost of a step: the bytes alone would allow tens of thousands of tiny events. */
export const maxUnackedUnits = 1024

/** Events that must be stored together with the cursor after them. */
export interface Unit {
  readonly events: readonly string[]
  readonly cursor: Cursor
  readonly bytes: number
}

export interface LineState {
  readonly phase: 'down' | 'waiting' | 'up' | 'over'
  /** How many of this attempt's events the log holds; undefined until the log has told it. */
  readonly acked: number | undefined
  /** The cursor stored with the last of them. */
  readonly cursor: Cursor
  /** Units that are not acknowledged, in order. The first `sent` of them were sent on this connection. */
  readonly units: readonly Unit[]
  readonly sent: number
  /** The number of events in the units that were sent. */
  readonly sentEvents: number
  readonly unackedBytes: number
  readonly flushAt: number | null
  readonly outcome: TaskOutcome | undefined
  readonly outcomeSent: boolean
}

export type LineInput =
  | { readonly type: 'opened' }
  | { readonly type: 'lost'; readonly code: number }
  | { readonly type: 'frame'; readonly frame: TaskDown }
  | { readonly type: 'emit'; readonly unit: Unit }
  | { readonly type: 'delta'; readonly data: EventData }
  | { readonly type: 'result'; readonly outcome: TaskOutcome }
  | { readonly type: 'flush' }

export type LineEffect =
  | { readonly type: 'events'; readonly after: number; readonly cursor: Cursor; readonly events: readonly string[] }
  | { readonly type: 'result'; readonly after: number; readonly outcome: TaskOutcome }
  | { readonly type: 'deltas'; readonly deltas: readonly EventData[] }
  | { readonly type: 'flush_timer'; readonly inMs: number }
  /** The log sent the first frame that was expected of it. */
  | { readonly type: 'confirmed' }
  | { readonly type: 'restart'; readonly received: number; readonly cursor: Cursor }
  | { readonly type: 'command'; readonly command: TaskCommand }
  | { readonly type: 'finished'; readonly how: 'acked' | 'ended' }
  /** The log refused the token: do not dial again before there is a fresh one. */
  | { readonly type: 'refused' }
  | { readonly type: 'drop'; readonly code: number; readonly reason: string }

type LineStep = Step<LineState, LineEffect>

export const newLine = (at: { readonly received: number; readonly cursor: Cursor } | undefined): LineState => ({
  phase: 'down',
  acked: at?.received,
  cursor: at?.cursor ?? startCursor,
  units: [],
  sent: 0,
  sentEvents: 0,
  unackedBytes: 0,
  flushAt: null,
  outcome: undefined,
  outcomeSent: false,
})

/** Whether a unit of that size may be emitted now. An empty window takes anything: a unit is bounded by itself. */
export const hasRoom = (state: LineState, bytes: number): boolean =>
  state.units.length === 0 || (state.units.length < maxUnackedUnits && state.unackedBytes + bytes <= maxUnackedBytes)

const nothing = (state: LineState): LineStep => ({ state, effects: [] })

export function stepLine(state: LineState, input: LineInput, { now }: StepContext): LineStep {
  if (state.phase === 'over') return nothing(state)
  switch (input.type) {
    case 'opened':
      return nothing({ ...state, phase: 'waiting', sent: 0, sentEvents: 0, outcomeSent: false, flushAt: null })
    case 'lost':
      return lost(state, input.code)
    case 'frame':
      return frame(state, input.frame, now)
    case 'emit':
      return pump({ ...state, units: [...state.units, input.unit], unackedBytes: state.unackedBytes + input.unit.bytes }, now, false)
    case 'delta':
      return { state, effects: state.phase === 'up' ? [{ type: 'deltas', deltas: [input.data] }] : [] }
    case 'result':
      return pump({ ...state, outcome: input.outcome, outcomeSent: false }, now, true)
    case 'flush':
      return state.flushAt === null ? nothing(state) : pump({ ...state, flushAt: null }, now, true)
  }
}

function lost(state: LineState, code: number): LineStep {
  const down: LineState = { ...state, phase: 'down', sent: 0, sentEvents: 0, outcomeSent: false, flushAt: null }
  if (code === closeCodes.ended) return { state: { ...down, phase: 'over' }, effects: [{ type: 'finished', how: 'ended' }] }
  // If the token is stale, another agent with a newer token may be reading the same process: do nothing to the process.
  return { state: down, effects: code === closeCodes.stale || code === closeCodes.unauthorized ? [{ type: 'refused' }] : [] }
}

function frame(state: LineState, frame: TaskDown, now: number): LineStep {
  switch (frame.type) {
    case 'resume':
      return state.phase === 'waiting' ? resume(state, frame, now) : nothing(state)
    case 'ack':
      return state.phase === 'up' ? ack(state, frame, now) : nothing(state)
    default:
      return { state, effects: [{ type: 'command', command: frame }] }
  }
}

function resume(state: LineState, frame: Extract<TaskDown, { type: 'resume' }>, now: number): LineStep {
  const confirmed: LineEffect = { type: 'confirmed' }
  if (frame.result) return { state: { ...state, phase: 'over' }, effects: [confirmed, { type: 'finished', how: 'acked' }] }
  const commands = frame.pending.map((command): LineEffect => ({ type: 'command', command }))
  const kept = keepAfter(state, frame.received)
  // The same count with another cursor: another agent divided the same bytes into other events.
  if (!kept || (frame.received > 0 && !sameCursor(kept.cursor, frame.cursor))) {
    return {
      state: { ...newLine(frame), phase: 'up' },
      effects: [confirmed, { type: 'restart', received: frame.received, cursor: frame.cursor }, ...commands],
    }
  }
  const step = pump({ ...kept, phase: 'up', sent: 0, sentEvents: 0 }, now, true)
  return { state: step.state, effects: [confirmed, ...step.effects, ...commands] }
}

/** The state without what the log holds; undefined if `received` is not the end of a unit in the window. */
function keepAfter(state: LineState, received: number): LineState | undefined {
  if (state.acked === undefined || received < state.acked) return undefined
  let { acked, cursor, unackedBytes } = state
  let dropped = 0
  for (; acked < received && dropped < state.units.length; dropped++) {
    const unit = state.units[dropped]!
    acked += unit.events.length
    unackedBytes -= unit.bytes
    cursor = unit.cursor
  }
  if (acked !== received) return undefined
  if (dropped === 0) return state
  const units = state.units.slice(dropped)
  const sent = Math.max(0, state.sent - dropped)
  return { ...state, acked, cursor, units, sent, sentEvents: Math.max(0, state.sentEvents - (acked - state.acked)), unackedBytes }
}

const sameCursor = (a: Cursor, b: Cursor): boolean =>
  a.stdout === b.stdout && a.stderr === b.stderr && JSON.stringify(a.state) === JSON.stringify(b.state)

function ack(state: LineState, frame: Extract<TaskDown, { type: 'ack' }>, now: number): LineStep {
  if (frame.result) return { state: { ...state, phase: 'over' }, effects: [{ type: 'finished', how: 'acked' }] }
  // A late or repeated acknowledgement changes nothing.
  if (state.acked === undefined || frame.received <= state.acked) return nothing(state)
  const kept = frame.received <= state.acked + state.sentEvents ? keepAfter(state, frame.received) : undefined
  // It acknowledges what was never sent, or half of a unit, which must be stored whole: the next resume tells the log's true position.
  if (!kept) return { state, effects: [{ type: 'drop', code: closeCodes.gap, reason: 'acknowledged what was not sent' }] }
  return pump(kept, now, false)
}

/**
 * Sends full batches always, and a partial batch if nothing unacknowledged is out, or if `force`. Otherwise the rest waits for the
 * acknowledgement, for a full batch, or for the timer, whichever comes first.
 */
function pump(state: LineState, now: number, force: boolean): LineStep {
  if (state.phase !== 'up' || state.acked === undefined) return nothing(state)
  const effects: LineEffect[] = []
  let { sent, flushAt } = state
  let after = state.acked + state.sentEvents
  while (sent < state.units.length) {
    const batch = nextBatch(state.units, sent)
    if (!batch.full && !force && sent > 0) break
    effects.push({ type: 'events', after, cursor: batch.cursor, events: batch.events })
    after += batch.events.length
    sent += batch.units
  }
  if (sent === state.units.length) flushAt = null
  else if (flushAt === null) {
    flushAt = now + maxBatchWaitMs
    effects.push({ type: 'flush_timer', inMs: maxBatchWaitMs })
  }
  const sendOutcome = state.outcome !== undefined && !state.outcomeSent && sent === state.units.length
  if (sendOutcome) effects.push({ type: 'result', after, outcome: state.outcome! })
  return { state: { ...state, sent, sentEvents: after - state.acked, flushAt, outcomeSent: state.outcomeSent || sendOutcome }, effects }
}

function nextBatch(units: readonly Unit[], from: number): { events: string[]; cursor: Cursor; units: number; full: boolean } {
  const events: string[] = []
  let bytes = 0
  let count = 0
  let full = false
  for (let unit = units[from]; unit; unit = units[from + count]) {
    if (count > 0 && (events.length + unit.events.length > maxBatchEvents || bytes + unit.bytes > maxBatchBytes)) {
      full = true
      break
    }
    events.push(...unit.events)
    bytes += unit.bytes
    count++
  }
  full ||= events.length >= maxBatchEvents || bytes >= maxBatchBytes
  return { events, cursor: units[from + count - 1]!.cursor, units: count, full }
}
