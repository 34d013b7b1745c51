import { afterAll, beforeAll, expect, test } from 'vitest'
import { setup, teardown } from './setup.ts'
import type { Bundle } from './setup.ts'

let stack: Bundle
beforeAll(async () => {
  stack = await setup()
})
afterAll(() => teardown(stack))

test.each(['claude-code', 'opencode'])('%s: a follow-up in the same session has seen the first conversation', async (provider) => {
  const word = `kumquat${provider.length}`
  const first = await stack.run({ kind: 'agent', project_id: 'demo', provider, prompt: `Remember the word ${word}.` })
  expect(first.task, stack.printed.join('')).toMatchObject({ status: 'succeeded' })
  expect(first.task.session_id).toMatch(/^ses_/)

  const followUp = await stack.run({
    kind: 'agent',
    project_id: 'demo',
    provider,
    prompt: 'Which word should you remember?',
    session_id: first.task.session_id,
  })
  expect(followUp.task).toMatchObject({ status: 'succeeded', session_id: first.task.session_id })
  expect(followUp.task.result).toContain(word)

  const stranger = await stack.run({ kind: 'agent', project_id: 'demo', provider, prompt: 'Which word should you remember?' })
  expect(stranger.task.session_id).not.toBe(first.task.session_id)
  expect(stranger.task.result).not.toContain(word)
})
