// Keeps one socket open: when to dial, when to ping, and when a silent connection is given up. The hub link and every attempt's line use it.
// It dials for ever. The waits are full jitter (AWS Architecture Blog, "Exponential Backoff and Jitter"), the close codes those of
// RFC 6455, 7.4. `now` is monotonic milliseconds, so that clock jumps change nothing. After the computer was suspended, the first timer
// finds that nothing was received for long and dials again: one reconnect, never a hang.

import { reconnectDelay } from '@rdev/shared/domain/backoff'
import type { Step, StepContext } from '@rdev/shared/domain/step'
import { closeCodes, pingEveryMs, pongTimeoutMs } from '@rdev/shared/wire/limits'

/** After a connection was confirmed for this long, the tries before it no longer lengthen the next wait. */
export const healthyAfterMs = 60_000
/** Two agents of one cluster would otherwise close each other's connection in a loop. */
export const supersededWaitMs = 30_000
/** From the open socket to `confirmed`. A peer that accepts a socket and never sends the expected first frame serves nobody. */
export const unconfirmedTimeoutMs = 15_000
/** A longer Retry-After is cut to this. */
export const maxRetryAfterMs = 10 * 60_000
/** Only an upgrade of the peer or of the agent helps, so dialling more often is no use. */
export const unsupportedWaitMs = 60_000
/** `hasten` works at most this often. A peer that accepts and hangs up again would otherwise be dialled in a loop. */
export const hastenEveryMs = 2_000
/** A dial of this age, without an answer when another one succeeds, is begun again: its packets were lost while the network was away. */
export const staleDialMs = 1_000

export interface ReconnectState {
  /** `parked`: nothing is dialled until `dial`; `stopped`: never again. */
  readonly phase: 'waiting' | 'dialing' | 'open' | 'parked' | 'stopped'
  /** Tries since the last healthy connection. */
  readonly tries: number
  readonly openedAt: number
  readonly confirmedAt: number | null
  readonly receivedAt: number
  /** When the last dial began, or the next one will. */
  readonly dialAt: number
  /** When another connection's success made this one dial, or would have. */
  readonly hastenedAt: number | null
  /** The connection was lost and is not open again yet. */
  readonly missing: boolean
  /** The peer answered and said to wait, so that another connection's success does not shorten the wait. */
  readonly toldToWait: boolean
  /** The number of the current socket. Inputs of an earlier one carry an earlier number and are ignored. */
  readonly socket: number
}

export type ReconnectInput =
  | { readonly type: 'dial' }
  | { readonly type: 'opened'; readonly socket: number }
  /** The peer sent the first frame that was expected of it. */
  | { readonly type: 'confirmed' }
  | { readonly type: 'received'; readonly socket: number }
  | { readonly type: 'closed'; readonly socket: number; readonly code: number; readonly retryAfterMs: number | null }
  | { readonly type: 'timer'; readonly timer: 'dial' | 'ping' | 'unconfirmed'; readonly socket: number }
  /** Another connection of the agent is back: dial within this time. */
  | { readonly type: 'hasten'; readonly withinMs: number }
  /** Close now and dial again, as after any loss. */
  | { readonly type: 'drop'; readonly code: number; readonly reason: string }
  | { readonly type: 'park'; readonly code: number; readonly reason: string }
  | { readonly type: 'stop'; readonly code: number; readonly reason: string }

export type ReconnectEffect =
  | { readonly type: 'dial'; readonly socket: number }
  | { readonly type: 'ping' }
  | { readonly type: 'close'; readonly code: number; readonly reason: string }
  /** Without a closing handshake: the peer is not there to answer it. */
  | { readonly type: 'terminate' }
  | { readonly type: 'timer'; readonly timer: 'dial' | 'ping' | 'unconfirmed'; readonly inMs: number; readonly socket: number }
  | { readonly type: 'up' }
  /** Open again after a loss: the other connections of the reconnect group dial too. */
  | { readonly type: 'recovered' }
  | { readonly type: 'down'; readonly code: number; readonly retryInMs: number }

type ReconnectStep = Step<ReconnectState, ReconnectEffect>

export const newReconnect: ReconnectState = {
  phase: 'parked',
  tries: 0,
  openedAt: 0,
  confirmedAt: null,
  receivedAt: 0,
  dialAt: 0,
  hastenedAt: null,
  missing: false,
  toldToWait: false,
  socket: 0,
}

const nothing = (state: ReconnectState): ReconnectStep => ({ state, effects: [] })

function dial(state: ReconnectState, now: number): ReconnectStep {
  const socket = state.socket + 1
  return {
    state: { ...state, phase: 'dialing', socket, tries: state.tries + 1, confirmedAt: null, dialAt: now },
    effects: [{ type: 'dial', socket }],
  }
}

/** The shortest wait after this close code. */
function codeWaitMs(code: number): number {
  if (code === closeCodes.superseded) return supersededWaitMs
  return code === closeCodes.unsupportedProtocol ? unsupportedWaitMs : 0
}

const refusals: readonly number[] = [closeCodes.superseded, closeCodes.unsupportedProtocol, closeCodes.unauthorized, closeCodes.stale]

/** The socket is gone or given up: wait for the next try. The number moves on, so that later inputs of this socket are ignored. */
function lost(state: ReconnectState, code: number, retryAfterMs: number | null, now: number, random: number): ReconnectStep {
  const healthy = state.phase === 'open' && state.confirmedAt !== null && now - state.confirmedAt >= healthyAfterMs
  // `tries` counts dials. The first retry after one dial, or after a healthy connection, is immediate.
  const tries = healthy ? 0 : Math.max(0, state.tries - 1)
  const toldToWait = retryAfterMs !== null || refusals.includes(code)
  // The dial began before another connection was back and failed afterwards: the failure is of the outage that is over.
  const hastened = state.phase === 'dialing' && !toldToWait && state.hastenedAt !== null && state.hastenedAt > state.dialAt
  const delay = Math.max(hastened ? 0 : reconnectDelay(tries, random), Math.min(retryAfterMs ?? 0, maxRetryAfterMs), codeWaitMs(code))
  const socket = state.socket + 1
  return {
    state: { ...state, phase: 'waiting', tries: tries + 1, socket, confirmedAt: null, dialAt: now + delay, missing: true, toldToWait },
    effects: [
      { type: 'down', code, retryInMs: delay },
      { type: 'timer', timer: 'dial', inMs: delay, socket },
    ],
  }
}

/** A socket that is open, or that was told to wait, stays as it is. */
function hasten(state: ReconnectState, withinMs: number, now: number, random: number): ReconnectStep {
  if (state.hastenedAt !== null && now - state.hastenedAt < hastenEveryMs) return nothing(state)
  const hastened = { ...state, hastenedAt: now }
  const inMs = Math.floor(random * withinMs)
  if (state.phase === 'dialing') {
    // A young dial may still succeed. If it fails, `lost` sees that it began before this.
    if (now - state.dialAt < staleDialMs) return nothing(hastened)
    const socket = state.socket + 1
    return {
      state: { ...hastened, phase: 'waiting', socket, dialAt: now + inMs },
      effects: [{ type: 'terminate' }, { type: 'timer', timer: 'dial', inMs, socket }],
    }
  }
  if (state.phase !== 'waiting' || state.toldToWait) return nothing(state)
  if (state.dialAt <= now + inMs) return nothing(hastened)
  return { state: { ...hastened, dialAt: now + inMs }, effects: [{ type: 'timer', timer: 'dial', inMs, socket: state.socket }] }
}

export function stepReconnect(state: ReconnectState, input: ReconnectInput, { now, random }: StepContext): ReconnectStep {
  if (state.phase === 'stopped') return nothing(state)
  switch (input.type) {
    case 'dial':
      return state.phase === 'parked' || state.phase === 'waiting' ? dial({ ...state, tries: 0 }, now) : nothing(state)
    case 'opened':
      if (input.socket !== state.socket || state.phase !== 'dialing') return nothing(state)
      return {
        state: { ...state, phase: 'open', openedAt: now, receivedAt: now, missing: false },
        effects: [
          { type: 'timer', timer: 'unconfirmed', inMs: unconfirmedTimeoutMs, socket: state.socket },
          { type: 'timer', timer: 'ping', inMs: pingEveryMs, socket: state.socket },
          { type: 'up' },
          ...(state.missing ? [{ type: 'recovered' } as const] : []),
        ],
      }
    case 'confirmed':
      return state.phase === 'open' && state.confirmedAt === null ? nothing({ ...state, confirmedAt: now }) : nothing(state)
    case 'received':
      return input.socket === state.socket && state.phase === 'open' ? nothing({ ...state, receivedAt: now }) : nothing(state)
    case 'closed':
      if (input.socket !== state.socket || (state.phase !== 'open' && state.phase !== 'dialing')) return nothing(state)
      return lost(state, input.code, input.retryAfterMs, now, random)
    case 'timer':
      return input.socket === state.socket ? timer(state, input.timer, now, random) : nothing(state)
    case 'hasten':
      return hasten(state, input.withinMs, now, random)
    case 'drop': {
      if (state.phase !== 'open' && state.phase !== 'dialing') return nothing(state)
      const step = lost(state, input.code, null, now, random)
      return { state: step.state, effects: [{ type: 'close', code: input.code, reason: input.reason }, ...step.effects] }
    }
    case 'park':
    case 'stop': {
      const phase = input.type === 'park' ? 'parked' : 'stopped'
      const hadSocket = state.phase === 'open' || state.phase === 'dialing'
      return {
        state: { ...state, phase, socket: state.socket + 1, confirmedAt: null },
        effects: hadSocket ? [{ type: 'close', code: input.code, reason: input.reason }] : [],
      }
    }
  }
}

function timer(state: ReconnectState, name: 'dial' | 'ping' | 'unconfirmed', now: number, random: number): ReconnectStep {
  if (name === 'dial') return state.phase === 'waiting' ? dial(state, now) : nothing(state)
  if (state.phase !== 'open') return nothing(state)
  const silentMs = now - state.receivedAt
  if ((name === 'unconfirmed' && state.confirmedAt === null) || (name === 'ping' && silentMs >= pongTimeoutMs)) {
    const step = lost(state, 1006, null, now, random)
    return { state: step.state, effects: [{ type: 'terminate' }, ...step.effects] }
  }
  if (name === 'unconfirmed') return nothing(state)
  // Check again when the pong would be overdue, if that is sooner than the next ping.
  const inMs = Math.max(1, Math.min(pingEveryMs, pongTimeoutMs - silentMs))
  return { state, effects: [{ type: 'ping' }, { type: 'timer', timer: 'ping', inMs, socket: state.socket }] }
}
