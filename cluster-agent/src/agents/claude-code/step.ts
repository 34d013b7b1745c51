import type { EventData } from '@rdev/shared/domain/event'
import type { NewEvent } from '../../ports.ts'
import type { ClaudeState } from './state.ts'

/** What one line does: the state after it, and its events. */
export interface Step {
  readonly state: ClaudeState
  readonly events: readonly NewEvent[]
  readonly deltas: readonly EventData[]
}

export interface Context {
  readonly prompt: string
  /** Milliseconds since 1970; only to turn "in so many seconds" into an instant. */
  readonly now: number
}

export const provider = 'claude-code'
export const stay = (state: ClaudeState, ...events: readonly NewEvent[]): Step => ({ state, events, deltas: [] })
