// The life of one attempt in this agent: starting → running → ending → reporting → done. Pure; runner/attempt-run.ts feeds it.
// It promises: an attempt is told to be rejected only before its process was ever started; a result goes out only when the process tree is gone
// and its code agent has read everything; what the log holds is final. It refuses to end anything because a connection is lost.

import type { ExitRecord, RejectReason } from '@rdev/shared/domain/attempt'
import type { AgentResult } from '@rdev/shared/domain/code-agent'
import { cancelGraceS } from '@rdev/shared/domain/limits'
import type { Step, StepContext } from '@rdev/shared/domain/step'

/** A process that goes on after its code agent was done with it (a CLI that does not exit after its result) is ended then. */
export const graceAfterResultMs = 5_000
/** A code agent that neither reads nor answers any more after its process has ended is given up then. */
export const settleMs = 60_000
/** The same when the tree was killed: nothing more can come. */
export const settleAfterStopMs = 15_000
/** Whoever shuts the agent down waits for it. */
export const shutdownGraceS = 5

export type StopCause = 'cancelled' | 'idle' | 'shutdown'

export interface AttemptState {
  /** `discarding`: nobody wants its result; its tree is being ended and its directory removed. */
  readonly phase: 'starting' | 'running' | 'ending' | 'reporting' | 'discarding' | 'done'
  /** Counts how often reading (re)started; answers of an earlier reading are void. */
  readonly reading: number
  /** Wanted before the start was certain. */
  readonly wanted: { readonly cause: StopCause; readonly graceS: number } | 'discard' | undefined
  readonly cause: StopCause | undefined
  readonly record: ExitRecord | undefined
  readonly result: AgentResult | 'none' | undefined
  /** Its pod has answered since its end: what its code agent still waits for would have come. */
  readonly reached: boolean
  readonly podGone: boolean
  /** The log told where it stands before the start was certain. */
  readonly restartDue: boolean
}

export type AttemptInput =
  | { readonly type: 'started' }
  | { readonly type: 'rejected'; readonly reason: RejectReason; readonly detail: string | undefined }
  /** Read from the log's position on: the first time for an adopted attempt, or because the window could not serve what the log lacks. */
  | { readonly type: 'restart' }
  | { readonly type: 'cancel'; readonly graceS: number }
  | { readonly type: 'idle' }
  | { readonly type: 'shutdown' }
  /** The hub does not want it here, or the log is complete without its result. */
  | { readonly type: 'discard' }
  /** Undefined: it failed inside. */
  | { readonly type: 'executed'; readonly reading: number; readonly result: AgentResult | undefined }
  | { readonly type: 'exited'; readonly record: ExitRecord }
  /** No process of it is left (also when there never was one). */
  | { readonly type: 'emptied' }
  | { readonly type: 'pod_gone' }
  /** Its log refuses it, and its pod has no such directory any more: another agent has seen to its end. */
  | { readonly type: 'missing' }
  | { readonly type: 'reached' }
  | { readonly type: 'timer'; readonly timer: 'grace' | 'settle' }
  | { readonly type: 'acked' }

export type AttemptEffect =
  | { readonly type: 'accept' }
  /** The first reading, under way since before the start, is valid: its opening events may go out. */
  | { readonly type: 'begun' }
  | { readonly type: 'reject'; readonly reason: RejectReason; readonly detail: string | undefined }
  /** Lets go of an earlier reading and begins one. */
  | { readonly type: 'read'; readonly reading: number }
  | { readonly type: 'let_go' }
  /** Tells the code agent that the attempt is to end, and asks it to stop the provider politely. */
  | { readonly type: 'interrupt' }
  | { readonly type: 'stop_tree'; readonly graceS: number; readonly reason: 'cancelled' | 'timeout' | 'stopped' }
  | { readonly type: 'timer'; readonly timer: 'grace' | 'settle'; readonly inMs: number }
  /** Asks the pod for any answer, for as long as it takes; then `reached`. */
  | { readonly type: 'reach' }
  | { readonly type: 'report' }
  | { readonly type: 'finished' }
  | { readonly type: 'remove' }
  /** Line, timers and the entry itself. */
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
  restartDue: false,
})

const nothing = (state: AttemptState): AttemptStep => ({ state, effects: [] })
const reasonOf = { cancelled: 'cancelled', idle: 'timeout', shutdown: 'stopped' } as const

export function stepAttempt(state: AttemptState, input: AttemptInput, _context: StepContext): AttemptStep {
  if (state.phase === 'done') return nothing(state)
  // Nothing is said of it: the hello that is about to follow does not name it, and the row decides.
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
      // A result from an earlier life, while a start is under way: whatever the start answers, nothing of it may stay.
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
  // Nothing is left to be read; the line has forgotten the result.
  if (state.podGone) return { state, effects: [{ type: 'report' }] }
  const reading = state.reading + 1
  const phase = state.phase === 'reporting' ? 'running' : state.phase
  const effects: AttemptEffect[] = [{ type: 'let_go' }, { type: 'read', reading }]
  // Its code agent shall not wait for a provider that is being stopped.
  if (phase === 'ending' && state.cause) effects.push({ type: 'interrupt' })
  return { state: { ...state, phase, reading, result: undefined, reached: false, restartDue: false }, effects }
}

function end(state: AttemptState, cause: StopCause, graceS: number): AttemptStep {
  if (state.phase === 'starting') return nothing({ ...state, wanted: state.wanted ?? { cause, graceS } })
  // A repeated cancel, or one that comes when the process has ended by itself: the exit record decides.
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

function timer(state: AttemptState, name: 'grace' | 'settle'): AttemptStep {
  if (state.phase !== 'running' && state.phase !== 'ending') return nothing(state)
  if (name === 'grace') {
    if (state.result === undefined || state.record) return nothing(state)
    return { state: { ...state, phase: 'ending' }, effects: [{ type: 'stop_tree', graceS: cancelGraceS, reason: 'stopped' }] }
  }
  if (!state.record || state.result !== undefined) return nothing(state)
  // A pod that cannot be reached keeps the output that its code agent waits for: that is nobody's fault, and it may come back.
  if (!state.reached) return { state, effects: [{ type: 'reach' }] }
  return report({ ...state, result: 'none' })
}

/** Interrupting last ends what still waits inside of a code agent that gave no answer. */
function report(state: AttemptState): AttemptStep {
  return { state: { ...state, phase: 'reporting' }, effects: [{ type: 'let_go' }, { type: 'report' }] }
}

function podGone(state: AttemptState): AttemptStep {
  if (state.phase === 'reporting') return nothing({ ...state, podGone: true })
  const gone = { ...state, podGone: true }
  if (state.phase !== 'starting') return report(gone)
  // Whether it was started or not, nothing of it is left.
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
  // A result that is held already (of an attempt adopted late) says that its tree was empty then.
  const remove: AttemptEffect[] = state.podGone ? [] : [{ type: 'remove' }]
  return { state: { ...state, phase: 'done' }, effects: [{ type: 'let_go' }, { type: 'finished' }, ...remove, { type: 'forget' }] }
}
