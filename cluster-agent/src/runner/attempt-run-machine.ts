// The life of one attempt in this agent: starting → running → ending → reporting → done. Its driver is attempt-run.ts.
// It promises: an attempt is rejected only if its process was never started; a result is sent only when the process tree is gone and the code
// agent has read everything; what the log holds is final. It never ends a process because a connection is lost.

import type { ExitRecord, RejectReason, StopReason } from '@rdev/shared/domain/attempt'
import type { AgentResult } from '@rdev/shared/domain/code-agent'
import { cancelGraceS, giveUpMs } from '@rdev/shared/domain/limits'
import type { Step, StepContext } from '@rdev/shared/domain/step'

/** How long a process may run on after its code agent has finished (a CLI that does not exit after its result). */
export const graceAfterResultMs = 5_000
/** How long a code agent may neither read nor answer after its process has ended. */
export const settleMs = 60_000
/** The same after the process tree was killed: no more output can come. */
export const settleAfterStopMs = 15_000
/** Shorter than a cancel's, because the one who shuts the agent down waits for it. */
export const shutdownGraceS = 5

export type StopCause = 'cancelled' | 'idle' | 'shutdown' | 'overdue'

export interface AttemptState {
  /** `discarding`: its result is not wanted; its process tree is being ended and its directory removed. */
  readonly phase: 'starting' | 'running' | 'ending' | 'reporting' | 'discarding' | 'done'
  /** The number of the current reading; results of an earlier one are ignored. */
  readonly reading: number
  /** What was asked for before the start was certain. */
  readonly wanted: { readonly cause: StopCause; readonly graceS: number } | 'discard' | undefined
  readonly cause: StopCause | undefined
  readonly record: ExitRecord | undefined
  readonly result: AgentResult | 'none' | undefined
  /** Its pod has answered since its end, so output that the code agent still waits for would have come. */
  readonly reached: boolean
  readonly podGone: boolean
  /** Nothing more is expected of its pod. */
  readonly givenUp: boolean
  /** The log told its position before the start was certain. */
  readonly restartDue: boolean
}

export type AttemptInput =
  | { readonly type: 'started' }
  | { readonly type: 'rejected'; readonly reason: RejectReason; readonly detail: string | undefined }
  /** Read from the log's position on: an adopted attempt for the first time, or because that position is not in the line's window. */
  | { readonly type: 'restart' }
  | { readonly type: 'cancel'; readonly graceS: number }
  | { readonly type: 'idle' }
  | { readonly type: 'shutdown' }
  /** The hub does not want it here, or the log is complete without its result. */
  | { readonly type: 'discard' }
  /** `result` undefined: the code agent threw an error. */
  | { readonly type: 'executed'; readonly reading: number; readonly result: AgentResult | undefined }
  | { readonly type: 'exited'; readonly record: ExitRecord }
  /** No process of it is left, or there never was one. */
  | { readonly type: 'emptied' }
  | { readonly type: 'pod_gone' }
  /** Its log refuses it and its pod has no directory of it any more: another agent has finished it. */
  | { readonly type: 'missing' }
  | { readonly type: 'reached' }
  | { readonly type: 'timer'; readonly timer: 'grace' | 'settle' | 'ceiling' | 'give_up' }
  | { readonly type: 'acked' }

export type AttemptEffect =
  | { readonly type: 'accept' }
  /** The reading that began before the start is valid: its first events may be sent. */
  | { readonly type: 'begun' }
  | { readonly type: 'reject'; readonly reason: RejectReason; readonly detail: string | undefined }
  /** Begins a reading, in place of the earlier one. */
  | { readonly type: 'read'; readonly reading: number }
  | { readonly type: 'let_go' }
  /** Tells the code agent that the attempt is to end, and lets it ask the provider to stop. */
  | { readonly type: 'interrupt' }
  | { readonly type: 'stop_tree'; readonly graceS: number; readonly reason: StopReason }
  | { readonly type: 'timer'; readonly timer: 'grace' | 'settle' | 'give_up'; readonly inMs: number }
  /** Asks the pod until it answers; then step `reached`. */
  | { readonly type: 'reach' }
  /** Whatever the pod was asked is not asked again, a start too. */
  | { readonly type: 'stop_asking' }
  | { readonly type: 'report' }
  | { readonly type: 'finished' }
  | { readonly type: 'remove' }
  /** Drops the line, the timers and the run itself. */
  | { readonly type: 'forget' }

type AttemptStep = Step<AttemptState, AttemptEffect>

export const newAttempt = (adopted: boolean): AttemptState => ({
  phase: adopted ? 'running' : 'starting',
  reading: 0,
  wanted: undefined,
  cause: undefined,
  record: undefined,
  result: undefined,
  reached: false,
  podGone: false,
  givenUp: false,
  restartDue: false,
})

const nothing = (state: AttemptState): AttemptStep => ({ state, effects: [] })
const reasonOf = { cancelled: 'cancelled', idle: 'timeout', overdue: 'timeout', shutdown: 'stopped' } as const

export function stepAttempt(state: AttemptState, input: AttemptInput, _context: StepContext): AttemptStep {
  if (state.phase === 'done') return nothing(state)
  // The hub is told nothing: the hello that follows does not list the attempt, and the row decides.
  if (input.type === 'missing') return { state: { ...state, phase: 'done' }, effects: [{ type: 'let_go' }, { type: 'forget' }] }
  if (state.phase === 'discarding') return discarding(state, input)
  switch (input.type) {
    case 'started':
      return started(state)
    case 'rejected':
      if (state.phase !== 'starting') return nothing(state)
      return {
        state: { ...state, phase: 'done' },
        effects: [{ type: 'let_go' }, { type: 'reject', reason: input.reason, detail: input.detail }, { type: 'forget' }],
      }
    case 'restart':
      return restart(state)
    case 'cancel':
      return end(state, 'cancelled', input.graceS)
    case 'idle':
      return state.record ? nothing(state) : end(state, 'idle', cancelGraceS)
    case 'shutdown':
      return end(state, 'shutdown', shutdownGraceS)
    case 'discard':
      return discard(state)
    case 'executed':
      return input.reading === state.reading ? executed(state, input.result) : nothing(state)
    case 'exited':
      return exited(state, input.record)
    case 'emptied':
      return nothing(state)
    case 'pod_gone':
      return podGone(state)
    case 'reached':
      if (!state.record || state.reached || (state.phase !== 'running' && state.phase !== 'ending')) return nothing(state)
      return { state: { ...state, reached: true }, effects: [settleTimer(state)] }
    case 'timer':
      return timer(state, input.timer)
    case 'acked':
      // The log already holds a result of this attempt while a start is under way: whatever the start answers, nothing of it may stay.
      return state.phase === 'starting' ? discard(state) : finish(state)
  }
}

function started(state: AttemptState): AttemptStep {
  if (state.phase !== 'starting') return nothing(state)
  const running: AttemptState = { ...state, phase: 'running', wanted: undefined }
  const begun: AttemptStep = state.restartDue ? restart(running) : { state: running, effects: [{ type: 'begun' }] }
  const { wanted } = state
  const step = wanted === 'discard' ? discard(begun.state) : wanted ? end(begun.state, wanted.cause, wanted.graceS) : nothing(begun.state)
  return { state: step.state, effects: [{ type: 'accept' }, ...begun.effects, ...step.effects] }
}

function restart(state: AttemptState): AttemptStep {
  if (state.phase === 'starting') return nothing({ ...state, restartDue: true })
  // There is nothing left to read, and the line has dropped the result: report it again.
  if (state.podGone || state.givenUp) return { state, effects: [{ type: 'report' }] }
  const reading = state.reading + 1
  const phase = state.phase === 'reporting' ? 'running' : state.phase
  const effects: AttemptEffect[] = [{ type: 'let_go' }, { type: 'read', reading }]
  // The code agent must not wait for a provider that is being stopped.
  if (phase === 'ending' && state.cause) effects.push({ type: 'interrupt' })
  return { state: { ...state, phase, reading, result: undefined, reached: false, restartDue: false }, effects }
}

function end(state: AttemptState, cause: StopCause, graceS: number): AttemptStep {
  if (state.phase === 'starting') return nothing({ ...state, wanted: state.wanted ?? { cause, graceS } })
  // The cancel is repeated, or the process has ended by itself before: the exit record decides.
  if (state.phase !== 'running' || state.record) return nothing(state)
  return {
    state: { ...state, phase: 'ending', cause },
    effects: [{ type: 'interrupt' }, { type: 'stop_tree', graceS, reason: reasonOf[cause] }],
  }
}

function executed(state: AttemptState, result: AgentResult | undefined): AttemptStep {
  if (state.phase !== 'running' && state.phase !== 'ending') return nothing(state)
  const known: AttemptState = { ...state, result: result ?? 'none' }
  if (known.record) return report(known)
  return { state: known, effects: [{ type: 'timer', timer: 'grace', inMs: graceAfterResultMs }] }
}

function exited(state: AttemptState, record: ExitRecord): AttemptStep {
  if (state.record) return nothing(state)
  const known = { ...state, record }
  if (state.phase === 'starting' || state.phase === 'reporting') return nothing(known)
  if (known.result !== undefined) return report(known)
  return { state: known, effects: [settleTimer(state)] }
}

const settleTimer = (state: AttemptState): AttemptEffect => ({
  type: 'timer',
  timer: 'settle',
  inMs: state.phase === 'ending' ? settleAfterStopMs : settleMs,
})

/** Its time is over, and its supervisor does not say so. An attempt whose start is not certain may still start: its time has not begun. */
function ceiling(state: AttemptState): AttemptStep {
  const last: AttemptEffect = { type: 'timer', timer: 'give_up', inMs: giveUpMs }
  if (state.phase === 'starting' || state.phase === 'ending') return { state, effects: [last] }
  const step = end(state, 'overdue', cancelGraceS)
  return { state: step.state, effects: [...step.effects, last] }
}

/** Its pod tells nothing, so nobody waits for it any more. Whether a process runs on is unknown; its pod is told to let none start. */
function giveUp(state: AttemptState): AttemptStep {
  const step = report({ ...state, givenUp: true, result: state.result ?? 'none' })
  return { state: step.state, effects: [{ type: 'stop_asking' }, ...step.effects] }
}

function timer(state: AttemptState, name: 'grace' | 'settle' | 'ceiling' | 'give_up'): AttemptStep {
  if (name === 'ceiling' || name === 'give_up') {
    if (state.phase !== 'starting' && state.phase !== 'running' && state.phase !== 'ending') return nothing(state)
    return name === 'ceiling' ? ceiling(state) : giveUp(state)
  }
  if (state.phase !== 'running' && state.phase !== 'ending') return nothing(state)
  if (name === 'grace') {
    if (state.result === undefined || state.record) return nothing(state)
    return { state: { ...state, phase: 'ending' }, effects: [{ type: 'stop_tree', graceS: cancelGraceS, reason: 'stopped' }] }
  }
  if (!state.record || state.result !== undefined) return nothing(state)
  // If the pod cannot be reached, it still holds output that the code agent waits for. Wait until the pod answers.
  if (!state.reached) return { state, effects: [{ type: 'reach' }] }
  return report({ ...state, result: 'none' })
}

/** `let_go` comes first: it aborts the signal of a code agent that still waits. */
function report(state: AttemptState): AttemptStep {
  return { state: { ...state, phase: 'reporting' }, effects: [{ type: 'let_go' }, { type: 'report' }] }
}

function podGone(state: AttemptState): AttemptStep {
  if (state.phase === 'reporting') return nothing({ ...state, podGone: true })
  const gone = { ...state, podGone: true }
  if (state.phase !== 'starting') return report(gone)
  // It may have been started, but nothing of it is left.
  return {
    state: { ...gone, phase: 'done' },
    effects: [{ type: 'let_go' }, { type: 'reject', reason: 'no_such_pod', detail: undefined }, { type: 'forget' }],
  }
}

function discard(state: AttemptState): AttemptStep {
  if (state.phase === 'starting') return nothing({ ...state, wanted: 'discard' })
  if (state.podGone) return finish(state)
  return {
    state: { ...state, phase: 'discarding' },
    effects: [{ type: 'let_go' }, { type: 'stop_tree', graceS: cancelGraceS, reason: 'stopped' }],
  }
}

function discarding(state: AttemptState, input: AttemptInput): AttemptStep {
  return input.type === 'emptied' || input.type === 'pod_gone' ? finish({ ...state, podGone: input.type === 'pod_gone' }) : nothing(state)
}

function finish(state: AttemptState): AttemptStep {
  // The log holds a result only after the process tree was empty, so there is nothing to stop.
  const remove: AttemptEffect[] = state.podGone ? [] : [{ type: 'remove' }]
  return { state: { ...state, phase: 'done' }, effects: [{ type: 'let_go' }, { type: 'finished' }, ...remove, { type: 'forget' }] }
}
