// A scenario (docs/faults.md) as a test that says what it shows. Results are lines of JSON in the folder RDEV_CHAOS_RESULTS, from which run.ts
// prints the table.
import { appendFileSync } from 'node:fs'
import { test } from 'vitest'
import { resultsVariable } from './row.ts'
import type { Row } from './row.ts'

/** The test's name is the numbers and `what`. `concurrent` scenarios of a file run at the same time, each on a stack of its own. */
export function scenario(
  numbers: number | readonly number[],
  what: string,
  mechanism: string,
  body: () => Promise<void>,
  { timeoutMs = 180_000, concurrent = false }: { readonly timeoutMs?: number; readonly concurrent?: boolean } = {},
): void {
  const scenarios = [numbers].flat()
  test(`${scenarios.join(' · ')} ${what}`.trim(), { timeout: timeoutMs, concurrent }, async ({ onTestFinished }) => {
    const began = Date.now()
    onTestFinished(({ task }) => {
      const directory = process.env[resultsVariable]
      if (!directory) return
      const result = task.result?.state === 'pass' ? 'passed' : (task.result?.state ?? 'unknown')
      const row: Row = { scenarios, what, mechanism, result, seconds: Math.round((Date.now() - began) / 100) / 10 }
      appendFileSync(`${directory}/results.jsonl`, `${JSON.stringify(row)}\n`)
    })
    await body()
  })
}
