import { expect, test } from 'vitest'
import { wantedOf } from './test-providers.ts'

test('a program with a version is a package of npm and a folder of tests', () => {
  expect(wantedOf('claude@2.1.290')).toMatchObject({ name: 'claude', spec: '@anthropic-ai/claude-code@2.1.290' })
  expect(wantedOf('opencode@1.15.0')).toMatchObject({ spec: 'opencode-ai@1.15.0', tests: 'cluster-agent/src/agents/opencode' })
})

test.each(['codex@1.0.0', 'claude', 'claude@latest', 'claude@1.0.0 --force', 'constructor@1.0.0'])('%s is refused', (word) => {
  expect(() => wantedOf(word)).toThrow('is not one of claude, opencode')
})
