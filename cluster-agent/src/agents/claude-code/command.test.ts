import { expect, test } from 'vitest'
import type { Attempt, ProcessSpec } from '../../ports.ts'
import { createClaudeCode } from './claude-code.ts'

/** What the process is started with. */
async function setup(prompt: string): Promise<ProcessSpec> {
  const started = Promise.withResolvers<ProcessSpec>()
  const process = (spec: ProcessSpec) => {
    started.resolve(spec)
    return new Promise<void>(() => {})
  }
  const agent = createClaudeCode({ run: () => Promise.reject(new Error('not asked')) })
  void agent.execute({ provider: 'claude-code', prompt, timeout_s: 60, deltas: false }, { process } as Partial<Attempt> as Attempt)
  return started.promise
}

test.each(['/clear', '/cost of living in Berlin', '/model opus\nand more', '/'])(
  '%j is a prompt, not a command of the program',
  async (prompt) => {
    const { stdin } = await setup(prompt)
    // A command begins at the very first character.
    expect(stdin).toBe(`\n${prompt}`)
  },
)

test.each(['hello', ' /clear', 'see /clear', '!ls', '# title', '@file'])('%j is not changed', async (prompt) => {
  expect((await setup(prompt)).stdin).toBe(prompt)
})
