// The usage of tokens: the field names in both providers' messages, and those in the cursors.

import type { Usage } from '@rdev/shared/domain/event'
import { count, json } from './json.ts'

export function usageOf(value: unknown): Usage {
  const usage = json(value)
  return {
    input_tokens: count(usage.input_tokens),
    output_tokens: count(usage.output_tokens),
    cache_read_tokens: count(usage.cache_read_tokens ?? usage.cache_read_input_tokens),
    cache_write_tokens: count(usage.cache_write_tokens ?? usage.cache_creation_input_tokens),
  }
}
