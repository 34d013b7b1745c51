// What the models of the providers cost, so that a test can compare a task's cost with one that neither provider's program computed. The price
// list of Anthropic, in dollars for a million tokens. A cache write is one that lasts five minutes.

import type { Usage } from './reply.ts'

const million = 1_000_000
const price = (input: number, output: number) => ({ input, output, cache_write: input * 1.25, cache_read: input * 0.1 })

const prices: Readonly<Record<string, ReturnType<typeof price>>> = {
  'claude-haiku-4-5': price(1, 5),
  'claude-sonnet-4-5': price(3, 15),
  'claude-opus-4-5': price(5, 25),
}

/** Null if the model is not in the list. A name may have a date at its end. */
export function costOf(model: string, usage: Usage): number | null {
  const name = model.replace(/-\d{8}$/, '')
  const of = Object.hasOwn(prices, name) ? prices[name] : undefined
  if (!of) return null
  const { input_tokens, output_tokens, cache_creation_input_tokens, cache_read_input_tokens } = usage
  const sum =
    input_tokens * of.input +
    output_tokens * of.output +
    cache_creation_input_tokens * of.cache_write +
    cache_read_input_tokens * of.cache_read
  return sum / million
}
