// The usage of tokens: the field names in both providers' messages, and those in the cursors.

import type { Usage } from '@rdev/shared/domain/event'
import { count, json } from './json.ts'

export const noUsage: Usage = { input_tokens: 0, output_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0 }

export const addUsage = (a: Usage, b: Usage): Usage => ({
  input_tokens: a.input_tokens + b.input_tokens,
  output_tokens: a.output_tokens + b.output_tokens,
  cache_read_tokens: a.cache_read_tokens + b.cache_read_tokens,
  cache_write_tokens: a.cache_write_tokens + b.cache_write_tokens,
})

export function usageOf(value: unknown): Usage {
  const usage = json(value)
  return {
    input_tokens: count(usage.input_tokens),
    output_tokens: count(usage.output_tokens),
    cache_read_tokens: count(usage.cache_read_tokens ?? usage.cache_read_input_tokens),
    cache_write_tokens: count(usage.cache_write_tokens ?? usage.cache_creation_input_tokens),
  }
}
