import type { EventData } from '@rdev/shared/domain/event'
import type { NewEvent } from '../../ports.ts'
import type { ClaudeState } from './state.ts'

/** What one line does: the state after it, and its events. */
export interface Step {
  readonly state: ClaudeState
  readonly events: readonly NewEvent[]
  readonly deltas: readonly EventData[]
}

export const provider = 'claude-code'
export const stay = (state: ClaudeState, ...events: readonly NewEvent[]): Step => ({ state, events, deltas: [] })
