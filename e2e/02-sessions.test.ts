import { afterAll, beforeAll, test } from 'vitest'
import { followUpRemembers } from './scenarios.ts'
import { setup, teardown } from './setup.ts'
import type { Bundle } from './setup.ts'

let stack: Bundle
beforeAll(async () => {
  stack = await setup()
})
afterAll(() => teardown(stack))

test.each(['claude-code', 'opencode'])('%s: a follow-up in the same session has seen the first conversation', (provider) =>
  followUpRemembers(stack, provider),
)
