// What a run spent. A run may have several results, and each speaks in its own way of what came before, so only the part of each is counted.

import { addUsage, noUsage, type Usage } from '@rdev/shared/domain/event'
import { count, isJson, json, number, objects, text, type Json } from '../json.ts'
import { usageOf } from '../usage.ts'

/** What a conversation has cost since it began, with all its runs. */
export interface Total {
  readonly usage: Usage
  readonly cost_usd: number
}

export interface Spent {
  readonly usage: Usage
  readonly cost_usd?: number | undefined
  /** That of the latest result. */
  readonly total?: Total | undefined
}

const noTotal: Total = { usage: noUsage, cost_usd: 0 }

/**
 * The part of one result, and the sum with it. `total_cost_usd` and `modelUsage` go on over all runs of a conversation, and `usage` leaves
 * subagents out. `model_usage_since_last_result` has neither fault. A version without it (2.1.290) is asked for its totals, and what they were
 * before is taken away: those of the latest result, or `earlier`, those before the run.
 */
export function spend(
  before: Spent | undefined,
  earlier: Total | undefined,
  message: Json,
): { readonly part: Omit<Spent, 'total'>; readonly spent: Spent } {
  const base = before?.total ?? earlier
  const part = partOf(message, base)
  const cost = number(message.total_cost_usd)
  const usage = usageOfModels(message.modelUsage) ?? addUsage(base?.usage ?? noUsage, part.usage)
  const total = cost === undefined ? before?.total : { usage, cost_usd: cost }
  return { part, spent: { ...withPart(before, part), total } }
}

const withPart = (before: Spent | undefined, part: Omit<Spent, 'total'>): Spent => ({
  usage: addUsage(before?.usage ?? noUsage, part.usage),
  cost_usd: part.cost_usd === undefined ? before?.cost_usd : (before?.cost_usd ?? 0) + part.cost_usd,
  total: before?.total,
})

function partOf(message: Json, base: Total | undefined): Omit<Spent, 'total'> {
  const since = message.model_usage_since_last_result
  if (isJson(since)) return { usage: usageOfModels(since) ?? noUsage, cost_usd: costOfModels(since) }
  const cost_usd = number(message.total_cost_usd)
  const usage = usageOfModels(message.modelUsage)
  if (cost_usd === undefined) return { usage: usage ?? usageOf(message.usage) }
  return minusTotal({ usage: usage ?? addUsage(base?.usage ?? noUsage, usageOf(message.usage)), cost_usd }, base)
}

/** The later total without the earlier one. A version that begins its totals at nothing in each run (2.1.200) tells less than there was before. */
function minusTotal(later: Total, earlier: Total = noTotal): Total {
  const usage = addUsage(later.usage, minus(earlier.usage))
  const goesOn = isAtLeast(later.usage, earlier.usage) && later.cost_usd >= earlier.cost_usd
  return goesOn ? { usage, cost_usd: later.cost_usd - earlier.cost_usd } : later
}

/** Undefined if it names no model. */
function usageOfModels(value: unknown): Usage | undefined {
  const models = Object.values(json(value)).map(json)
  if (models.length === 0) return undefined
  const usage = models.map((model): Usage => ({
    input_tokens: count(model.inputTokens),
    output_tokens: count(model.outputTokens),
    cache_read_tokens: count(model.cacheReadInputTokens),
    cache_write_tokens: count(model.cacheCreationInputTokens),
  }))
  return usage.reduce(addUsage, noUsage)
}

const costOfModels = (models: Json): number =>
  Object.values(models).reduce<number>((sum, model) => sum + Math.max(0, number(json(model).costUSD) ?? 0), 0)

/** A line of the file that the program keeps of a conversation. It writes one at the end of each run, also of one that it had to end early. */
export function totalOfLine(line: Json): Total | undefined {
  const cost_usd = number(line.totalCostUSD)
  if (line.type !== 'cost-state' || cost_usd === undefined) return undefined
  return { usage: usageOfModels(line.modelUsage) ?? noUsage, cost_usd }
}

/**
 * What a run spent that was cut, and its part since the latest result: by `last`, the total that the program kept. If there is none, or it is older
 * than what the messages told, by the messages.
 */
export function spendCut(
  before: Spent | undefined,
  earlier: Total | undefined,
  open: Open | undefined,
  last: Total | undefined,
): { readonly part: Omit<Spent, 'total'>; readonly spent: Spent } | undefined {
  const since = last && minusTotal(last, before?.total ?? earlier)
  const told = open?.usage ?? noUsage
  const part = since && isAtLeast(since.usage, told) ? since : { usage: told }
  if (Object.values(part.usage).every((tokens) => tokens === 0)) return undefined
  return { part, spent: withPart(before, part) }
}

/**
 * The messages since the latest result. They tell what a run took that was killed, which writes no result: tokens out are those at the beginning
 * of each message, and there is no cost.
 */
export interface Open {
  readonly usage: Usage
  /** The latest messages; a message comes in several lines, and those of subagents may come in between. */
  readonly latest: readonly { readonly id: string; readonly usage: Usage }[]
}

const maxLatest = 8
const isAtLeast = (a: Usage, b: Usage): boolean =>
  a.input_tokens >= b.input_tokens &&
  a.output_tokens >= b.output_tokens &&
  a.cache_read_tokens >= b.cache_read_tokens &&
  a.cache_write_tokens >= b.cache_write_tokens
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
  return { usage: usageOf(value.usage), cost_usd: number(value.cost_usd), total: readTotal(value.total) }
}

/** Reads it from a cursor's state. */
export function readTotal(value: unknown): Total | undefined {
  const cost_usd = number(json(value).cost_usd)
  return cost_usd === undefined ? undefined : { usage: usageOf(json(value).usage), cost_usd }
}
