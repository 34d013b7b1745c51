import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { runSeed } from './history.ts'
import { mutations } from './mutations.ts'

async function traceOf(seed: number): Promise<string> {
  const hash = createHash('sha256')
  await runSeed(seed, { trace: (line) => void hash.update(`${line}\n`) })
  return hash.digest('hex')
}

test('a seed is one history: run twice, everything happens again in the same order', { timeout: 300_000 }, async () => {
  for (const seed of [2, 6, 15]) expect(await traceOf(seed)).toBe(await traceOf(seed))
  expect(await traceOf(2)).not.toBe(await traceOf(3))
})

test('a handful of histories has no violations, and faults really happen in them', async () => {
  const counts: Record<string, number> = {}
  for (let seed = 1; seed <= 25; seed++) {
    const outcome = await runSeed(seed, { strict: true })
    expect(outcome.violations, `seed ${seed}`).toEqual([])
    for (const [what, count] of Object.entries(outcome.counts)) counts[what] = (counts[what] ?? 0) + count
  }
  for (const what of ['process started', 'attempt adopted', 'leased again', 'sleep', 'ended: succeeded', 'ended: cancelled CANCELLED']) {
    expect(counts[what], what).toBeGreaterThan(0)
  }
})

test.each(mutations)('the text of mutation $name is in its module, once', ({ module, find, also }) => {
  const source = readFileSync(new URL(`../${module}`, import.meta.url), 'utf8')
  for (const text of [find, ...(also === undefined ? [] : [also.find])]) expect(source.split(text).length - 1).toBe(1)
})

test('when a mechanism is taken out, a history has a violation', () => {
  const main = fileURLToPath(new URL('./main.ts', import.meta.url))
  const { stdout, status } = spawnSync(process.execPath, [main, '--mutate', 'floor', '--threads', '1'], { encoding: 'utf8' })
  expect(stdout).toMatch(/^floor +\d+ /m)
  expect(status).toBe(0)
}, 120_000)
