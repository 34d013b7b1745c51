// A socket that is always wanted: when to dial, when to ping, when to give a silent connection up. Both links of the agent are made of it.
// It never gives up. `now` is monotonic milliseconds, so that clock jumps change nothing; after a pause of the machine the first
// timer finds the silence and dials anew, which costs one reconnect and never a hang.

import { reconnectDelay } from '@rdev/shared/domain/backoff'
import type { Step, StepContext } from '@rdev/shared/domain/step'
import { closeCodes, pingEveryMs, pongTimeoutMs } from '@rdev/shared/wire/limits'

/** A connection that was healthy this long forgives what failed before it. */
export const healthyAfterMs = 60_000
/** Two agents with one identity must not throw each other out in a loop. */
export const supersededWaitMs = 30_000
/** From the open socket to the peer's first frame; a peer that says nothing is as good as none. */
export const unconfirmedTimeoutMs = 15_000
/** The longest that a peer's Retry-After is believed. */
export const maxRetryAfterMs = 10 * 60_000
/** A peer that does not speak this version will not learn it soon. */
export const unsupportedWaitMs = 60_000
/** A connection believes another's success this often: a peer that accepts and hangs up must not be dialled in a loop. */
export const hastenEveryMs = 2_000
/** A dial that has no answer yet when another one succeeds: its packets went out while the network was away. */
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
  /** It was lost, and is not back yet. */
  readonly missing: boolean
  /** The peer answered, and said to wait: another's success is no group. */
  readonly toldToWait: boolean
  /** Frames of an earlier socket carry an earlier number and are ignored. */
  readonly socket: number
}

export type ReconnectInput =
  | { readonly type: 'dial' }
  | { readonly type: 'opened'; readonly socket: number }
  /** The peer spoke as expected: from here on the connection counts as healthy. */
  | { readonly type: 'confirmed' }
  | { readonly type: 'received'; readonly socket: number }
  | { readonly type: 'closed'; readonly socket: number; readonly code: number; readonly retryAfterMs: number | null }
  | { readonly type: 'timer'; readonly timer: 'dial' | 'ping' | 'unconfirmed'; readonly socket: number }
  /** Another connection to the same place is back: dial within this time. */
  | { readonly type: 'hasten'; readonly withinMs: number }
  /** Cut now and dial again, as after any loss. */
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
  /** Open again after a loss, which is group for whoever waits to try the same. */
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

/** What a peer that gave this code wants, at the least. */
function codeWaitMs(code: number): number {
  if (code === closeCodes.superseded) return supersededWaitMs
  return code === closeCodes.unsupportedProtocol ? unsupportedWaitMs : 0
}

const refusals: readonly number[] = [closeCodes.superseded, closeCodes.unsupportedProtocol, closeCodes.unauthorized, closeCodes.stale]

/** The socket is gone or given up: wait for the next try. The socket's number moves on, so whatever it still says is ignored. */
function lost(state: ReconnectState, code: number, retryAfterMs: number | null, now: number, random: number): ReconnectStep {
  const healthy = state.phase === 'open' && state.confirmedAt !== null && now - state.confirmedAt >= healthyAfterMs
  // `tries` counts dials; the first retry after one dial, or after health, is immediate.
  const tries = healthy ? 0 : Math.max(0, state.tries - 1)
  const toldToWait = retryAfterMs !== null || refusals.includes(code)
  // Dialled before the group came, and failed after it.
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

/** What is open or was told to wait stays as it is. */
function hasten(state: ReconnectState, withinMs: number, now: number, random: number): ReconnectStep {
  const group = state.hastenedAt === null || now - state.hastenedAt >= hastenEveryMs
  if (!group) return nothing(state)
  const hastened = { ...state, hastenedAt: now }
  const inMs = Math.floor(random * withinMs)
  if (state.phase === 'dialing') {
    // It may still succeed, or fail: that it fails for reasons of before is seen then.
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
  // The next look comes when the pong would be overdue, if that is sooner.
  const inMs = Math.max(1, Math.min(pingEveryMs, pongTimeoutMs - silentMs))
  return { state, effects: [{ type: 'ping' }, { type: 'timer', timer: 'ping', inMs, socket: state.socket }] }
}
