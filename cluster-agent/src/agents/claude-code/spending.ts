// What a run spent. A run may have several results, and each speaks in its own way of what came before, so only the part of each is counted.

import { addUsage, noUsage, type Usage } from '@rdev/shared/domain/event'
import { count, isJson, json, number, type Json } from '../json.ts'
import { usageOf } from '../usage.ts'

export interface Spent {
  readonly usage: Usage
  readonly cost_usd?: number | undefined
  /** `total_cost_usd` of the latest result. */
  readonly total?: number | undefined
}

/**
 * The part of one result, and the sum with it. `total_cost_usd` and `modelUsage` go on over all runs of a conversation, and `usage` leaves
 * subagents out. `model_usage_since_last_result` has neither fault. A version without it counts its total from the start of its process.
 */
export function spend(before: Spent | undefined, message: Json): { readonly part: Spent; readonly spent: Spent } {
  const total = number(message.total_cost_usd)
  const part = partOf(message, total, before?.total ?? 0)
  const cost_usd = part.cost_usd === undefined ? before?.cost_usd : (before?.cost_usd ?? 0) + part.cost_usd
  return { part, spent: { usage: addUsage(before?.usage ?? noUsage, part.usage), cost_usd, total: total ?? before?.total } }
}

function partOf(message: Json, total: number | undefined, before: number): Spent {
  const since = message.model_usage_since_last_result
  if (!isJson(since)) {
    return { usage: usageOf(message.usage), cost_usd: total === undefined ? undefined : Math.max(0, total - before) }
  }
  const models = Object.values(since).map(json)
  const usage = models.map((model): Usage => ({
    input_tokens: count(model.inputTokens),
    output_tokens: count(model.outputTokens),
    cache_read_tokens: count(model.cacheReadInputTokens),
    cache_write_tokens: count(model.cacheCreationInputTokens),
  }))
  return {
    usage: usage.reduce(addUsage, noUsage),
    cost_usd: models.reduce((sum, model) => sum + Math.max(0, number(model.costUSD) ?? 0), 0),
  }
}

/** Reads it from a cursor's state. */
export function readSpent(value: unknown): Spent | undefined {
  if (!isJson(value)) return undefined
  return { usage: usageOf(value.usage), cost_usd: number(value.cost_usd), total: number(value.total) }
}
