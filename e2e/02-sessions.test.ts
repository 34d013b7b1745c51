import { afterAll, beforeAll, test } from 'vitest'
import { followUpRemembers } from './scenarios.ts'
import type { Bundle } from './setup.ts'
import { leaveShared, sharedStack } from './shared.ts'

let stack: Bundle
beforeAll(async () => {
  stack = await sharedStack()
})
afterAll(() => leaveShared(stack))

test.each(['claude-code', 'opencode'])('%s: a follow-up in the same session has seen the first conversation', (provider) =>
  followUpRemembers(stack, provider),
)
