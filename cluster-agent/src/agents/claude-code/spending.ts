// What a run spent. A run may have several results, and each speaks in its own way of what came before, so only the part of each is counted.

import { addUsage, noUsage, type Usage } from '@rdev/shared/domain/event'
import { count, isJson, json, number, objects, text, type Json } from '../json.ts'
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

/**
 * The messages since the latest result: what the model took for them is all that is known of a run that is cut, because a process that is
 * stopped often writes no result. Tokens out are those at the beginning of each message, and there is no cost.
 */
export interface Open {
  readonly usage: Usage
  /** The latest messages; a message comes in several lines, and those of subagents may come in between. */
  readonly latest: readonly { readonly id: string; readonly usage: Usage }[]
}

const maxLatest = 8
const minus = (usage: Usage): Usage => ({
  input_tokens: -usage.input_tokens,
  output_tokens: -usage.output_tokens,
  cache_read_tokens: -usage.cache_read_tokens,
  cache_write_tokens: -usage.cache_write_tokens,
})

/** `message` is that of an `assistant` line. */
export function withMessage(open: Open | undefined, message: Json): Open | undefined {
  if (typeof message.id !== 'string' || !isJson(message.usage)) return open
  const { id } = message
  const usage = usageOf(message.usage)
  const latest = open?.latest ?? []
  const before = latest.find((one) => one.id === id)
  const sum = addUsage(open?.usage ?? noUsage, usage)
  const others = latest.filter((one) => one.id !== id)
  return {
    usage: before ? addUsage(sum, minus(before.usage)) : sum,
    latest: [...others, { id: id.slice(0, 256), usage }].slice(-maxLatest),
  }
}

/** Reads it from a cursor's state. */
export function readOpen(value: unknown): Open | undefined {
  if (!isJson(value)) return undefined
  const latest = objects(value.latest).map((one) => ({ id: text(one.id) ?? '', usage: usageOf(one.usage) }))
  return { usage: usageOf(value.usage), latest: latest.slice(-maxLatest) }
}

/** Reads it from a cursor's state. */
export function readSpent(value: unknown): Spent | undefined {
  if (!isJson(value)) return undefined
  return { usage: usageOf(value.usage), cost_usd: number(value.cost_usd), total: number(value.total) }
}
