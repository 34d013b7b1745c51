// What Postgres can hold, the same for both kinds of stores. Text must have no NUL and must be well-formed Unicode. Agents and processes print
// other text, so such characters are replaced on the way in (the task's log keeps them). No name with such a character exists.
import type { TaskOutcome } from '@rdev/shared/domain/task'

export const storable = (text: string): string => text.toWellFormed().replaceAll('\u0000', '\ufffd')
export const storableOrNull = (text: string | null): string | null => (text === null ? null : storable(text))
export const isStorable = (text: string): boolean => !text.includes('\u0000') && text.isWellFormed()

const clamp = (value: number, min: number, max: number) => Math.min(max, Math.max(min, value))

/** Of one attempt; far above anything real, and a sum of as many attempts as a task may have is still exact. */
const maxTokens = 1e14
const maxCostUsd = 1e12
const tokens = (value: number) => clamp(Math.trunc(value), 0, maxTokens)

/** Bounds the numbers of an outcome. They come from a cluster, and one that no column can hold would keep the task from ever ending. */
export function storableOutcome(end: TaskOutcome, now: number): TaskOutcome {
  return {
    ...end,
    exit_code: end.exit_code === null ? null : clamp(Math.trunc(end.exit_code), -(2 ** 31), 2 ** 31 - 1),
    duration_ms: end.duration_ms === null ? null : Math.round(clamp(end.duration_ms, 0, now)),
    cost_usd: end.cost_usd === null ? null : clamp(end.cost_usd, 0, maxCostUsd),
    usage: end.usage && {
      input_tokens: tokens(end.usage.input_tokens),
      output_tokens: tokens(end.usage.output_tokens),
      cache_read_tokens: tokens(end.usage.cache_read_tokens),
      cache_write_tokens: tokens(end.usage.cache_write_tokens),
    },
    result: storableOrNull(end.result),
    error: storableOrNull(end.error),
    denied_tools: end.denied_tools?.map(({ name, count }) => ({ name: storable(name), count })) ?? null,
    provider_session_id: storableOrNull(end.provider_session_id),
  }
}
