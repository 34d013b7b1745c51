// What one step of the pure side answers, and what all of its files use.

import type { Usage } from '@rdev/shared/domain/event'
import type { NewEvent } from '../../ports.ts'
import { event } from '../bounded.ts'
import { count, json, number, type Json } from '../json.ts'
import type { Rules } from './policy.ts'
import { maxQuietSteps, type OpenCodeError, type OpenCodeState } from './state.ts'

export type Effect =
  | { readonly type: 'reply'; readonly permission: string; readonly reply: 'once' | 'reject' }
  | { readonly type: 'reject_question'; readonly question: string }
  /** The session says that it rests: look whether that is the end. */
  | { readonly type: 'idle' }
  /** The provider asks to wait longer than a run should, or the server repeats itself. */
  | { readonly type: 'give_up' }

export interface OpenCodeStep {
  readonly state: OpenCodeState
  readonly events: readonly NewEvent[]
  readonly effects: readonly Effect[]
}

export interface OpenCodeContext {
  readonly rules: Rules
  readonly now: number
  /** A retry that is due later than this ends the run instead: the slot is free then, and the error says when to try again. */
  readonly maxRetryWaitMs: number
  readonly maxRetries: number
}

export const stay = (state: OpenCodeState, ...events: readonly NewEvent[]): OpenCodeStep => ({ state, events, effects: [] })

/** The run's error, told once: the first one counts. */
export function fail(state: OpenCodeState, error: OpenCodeError): OpenCodeStep {
  if (state.error) return stay(state)
  const { code, message, resets_at } = error
  const told =
    code === 'RATE_LIMITED' ? event('limit.reached', { provider: 'opencode', message, resets_at }) : event('error', { code, message })
  return stay({ ...state, error }, told)
}

/**
 * A step begins after `quiet` steps in a row that called no tool. A conversation has one such step, its last, and two more around a summary.
 * A server that does not know how the model's answer ended asks again at once, for ever; that is ended here.
 */
export function bounded(state: OpenCodeState, quiet: number): OpenCodeStep {
  if (quiet <= maxQuietSteps || state.error) return stay(state)
  const message = `the server asked the model ${maxQuietSteps} times in a row without a tool call, and did not come to an end`
  return { ...fail(state, { code: 'AGENT_ERROR', message }), effects: [{ type: 'give_up' }] }
}

/** Counts a step's tokens and cost, and tells them. `more` goes into its event. */
export function countStep(state: OpenCodeState, part: Json, more: Readonly<Record<string, unknown>> = {}): OpenCodeStep {
  const tokens = json(part.tokens)
  const cache = json(tokens.cache)
  const usage = {
    input_tokens: count(tokens.input),
    output_tokens: count(tokens.output) + count(tokens.reasoning),
    cache_read_tokens: count(cache.read),
    cache_write_tokens: count(cache.write),
  }
  const cost_usd = number(part.cost) ?? 0
  return stay(
    { ...state, usage: sum(state.usage, usage), cost_usd: state.cost_usd + cost_usd },
    event('usage', { ...usage, cost_usd, ...more }),
  )
}

const sum = (a: Usage, b: Usage): Usage => ({
  input_tokens: a.input_tokens + b.input_tokens,
  output_tokens: a.output_tokens + b.output_tokens,
  cache_read_tokens: a.cache_read_tokens + b.cache_read_tokens,
  cache_write_tokens: a.cache_write_tokens + b.cache_write_tokens,
})
