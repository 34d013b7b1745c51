// Runs seeds in a thread of its own, with or without a mechanism taken out.

import { parentPort, workerData } from 'node:worker_threads'
import { applyMutation } from './mutate.ts'
import type { Outcome } from './history.ts'

export interface Job {
  readonly seeds: readonly number[]
  /** Stop at the first seed with a violation. */
  readonly untilViolation: boolean
}
export interface JobDone {
  readonly ran: number
  readonly violations: readonly Outcome[]
  readonly counts: Readonly<Record<string, number>>
  readonly tasks: number
  readonly virtualMs: number
}

const { mutation, strictEvery = 0 } = workerData as { mutation?: string; strictEvery?: number }
if (mutation !== undefined) applyMutation(mutation)
const { runSeed } = await import('./history.ts')

parentPort!.on('message', (job: Job) => void run(job))
const tell = (message: JobDone | 'ready') => parentPort!.postMessage(message, [])
tell('ready')

async function run({ seeds, untilViolation }: Job): Promise<void> {
  const counts: Record<string, number> = {}
  const violations: Outcome[] = []
  let ran = 0
  let tasks = 0
  let virtualMs = 0
  for (const seed of seeds) {
    const outcome = await runSeed(seed, { strict: strictEvery > 0 && seed % strictEvery === 0 })
    ran++
    tasks += outcome.tasks
    virtualMs += outcome.virtualMs
    for (const [what, count] of Object.entries(outcome.counts)) counts[what] = (counts[what] ?? 0) + count
    if (outcome.violations.length === 0) continue
    violations.push(outcome)
    if (untilViolation) break
  }
  tell({ ran, violations, counts, tasks, virtualMs })
}
