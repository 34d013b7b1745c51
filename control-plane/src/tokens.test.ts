import { expect, test } from 'vitest'
import { manualClock } from './testing/clock.ts'
import { createTokens } from './tokens.ts'

function setup() {
  const clock = manualClock()
  const tokens = createTokens('0123456789abcdef0123456789abcdef', clock)
  const expires_at = clock.now() + 60_000
  return {
    clock,
    tokens,
    attempt: { kind: 'attempt', task_id: 'task_x', attempt: 2, cluster_id: 'home', epoch: 7, key_id: 'key_home', expires_at } as const,
    stream: { kind: 'stream', task_id: 'task_x', key_id: 'key_y', expires_at } as const,
  }
}

test('a token gives its claims back until it expires', async () => {
  const { tokens, clock, attempt, stream } = setup()
  const token = await tokens.sign(attempt)
  expect(token).toMatch(/^v1\.[\w-]+\.[\w-]{43}$/)
  expect(await tokens.verify('attempt', token)).toEqual(attempt)
  expect(await tokens.verify('stream', await tokens.sign(stream))).toEqual(stream)
  clock.advance(60_000)
  expect(await tokens.verify('attempt', token)).toBeUndefined()
})

test('a token of one kind is no token of the other', async () => {
  const { tokens, stream } = setup()
  expect(await tokens.verify('attempt', await tokens.sign(stream))).toBeUndefined()
})

test('a token that was changed, cut, invented or signed with another secret is refused', async () => {
  const { tokens, clock, attempt } = setup()
  const token = await tokens.sign(attempt)
  const [version, payload, signature] = token.split('.') as [string, string, string]
  const foreign = await createTokens('ffffffffffffffffffffffffffffffff', clock).sign(attempt)
  const raised = btoa(JSON.stringify({ ...attempt, attempt: 3 })).replace(/=+$/, '')
  const wrong = [
    foreign,
    `${version}.${raised}.${signature}`,
    `v2.${payload}.${signature}`,
    `${version}.${payload}.${signature.slice(1)}A`,
    token.slice(0, -1),
    `${token}A`,
    '',
    'v1..',
    `v1.A.${signature}`,
    'x'.repeat(100_000),
  ]
  for (const text of wrong) expect(await tokens.verify('attempt', text)).toBeUndefined()
})

test('a secret that could be guessed is refused', () => {
  expect(() => createTokens('short', manualClock())).toThrow(RangeError)
})
