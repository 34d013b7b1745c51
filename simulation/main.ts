// npm run simulate -- [--seeds N] [--from N] | --seed N | --mutate [NAME]     (see README.md)

import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { mutations } from './mutations.ts'
import type { Job, JobDone } from './worker.ts'

const { values, positionals } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    mutate: { type: 'boolean' },
    threads: { type: 'string', default: String(availableParallelism()) },
  },
  allowPositionals: true,
})

const whole = (name: string, text: string): number => {
  if (!/^\d+$/.test(text)) throw new RangeError(`--${name} wants a whole number`)
  return Number(text)
}
const from = whole('from', values.from)
const seeds = whole('seeds', values.seeds)
const threads = Math.max(1, whole('threads', values.threads))
const chunk = 20
const strictEvery = 50

/** One thread; `run` gives it seeds and waits for the outcome. Rejects if the thread failed. */
function thread(data: object): { run(job: Job): Promise<JobDone>; end(): void } {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: data })
  let broke: ((error: Error) => void) | undefined
  let failure: Error | undefined
  worker.on('error', (error: Error) => {
    failure = error
    broke?.(error)
  })
  return {
    run: (job) =>
      new Promise((resolve, reject) => {
        if (failure) return reject(failure)
        broke = reject
        const listen = (message: JobDone | 'ready') => {
          if (message === 'ready') return
          worker.off('message', listen)
          resolve(message)
        }
        worker.on('message', listen)
        worker.postMessage(job, [])
      }),
    end: () => void worker.terminate(),
  }
}

async function simulate(): Promise<number> {
  const began = performance.now()
  const counts: Record<string, number> = {}
  let next = from
  let ran = 0
  let tasks = 0
  let bad = 0
  let virtualMs = 0
  let told = began
  const secondsSince = () => (performance.now() - began) / 1000
  await Promise.all(
    Array.from({ length: threads }, async () => {
      const one = thread({ strictEvery })
      while (next < from + seeds) {
        const first = next
        next += chunk
        const last = Math.min(next, from + seeds)
        const done = await one.run({ seeds: Array.from({ length: last - first }, (_, i) => first + i), untilViolation: false })
        ran += done.ran
        tasks += done.tasks
        virtualMs += done.virtualMs
        for (const [what, count] of Object.entries(done.counts)) counts[what] = (counts[what] ?? 0) + count
        for (const { seed, violations, faults } of done.violations) {
          bad++
          console.log(`seed ${seed} (${faults.join(', ') || 'no faults'}): ${violations[0]}`)
          for (const more of violations.slice(1, 5)) console.log(`    ${more}`)
          console.log(`    replay: npm run simulate -- --seed ${seed}`)
        }
        if (performance.now() - told > 10_000) {
          told = performance.now()
          console.log(`${ran} of ${seeds} seeds, ${bad} with violations, ${Math.round(ran / secondsSince())} a second`)
        }
      }
      one.end()
    }),
  )
  const faults = Object.entries(counts).filter(([what]) => what.startsWith('fault: '))
  const reached = Object.entries(counts).filter(([what]) => !what.startsWith('fault: '))
  const list = (entries: [string, number][]) =>
    entries
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([what, count]) => `  ${String(count).padStart(9)}  ${what.replace('fault: ', '')}`)
      .join('\n')
  console.log(`\nfaults drawn, by histories\n${list(faults)}\n\nreached\n${list(reached)}\n`)
  const perMinute = Math.round((ran / secondsSince()) * 60)
  const years = virtualMs / 1000 / 3600 / 24 / 365
  console.log(
    `${ran} histories from seed ${from}, ${tasks} tasks, ${years.toFixed(2)} years of virtual time in ${secondsSince().toFixed(0)} s: ${perMinute} histories a minute on ${threads} threads`,
  )
  console.log(bad === 0 ? 'no violations' : `${bad} histories with violations`)
  return bad === 0 ? 0 : 1
}

/** Takes out one mechanism at a time: some history must have a violation then. */
async function prove(only: string | undefined): Promise<number> {
  const chosen = only === undefined ? mutations : mutations.filter(({ name }) => name === only)
  if (chosen.length === 0) throw new RangeError(`there is no mutation ${only}; there are ${mutations.map(({ name }) => name).join(', ')}`)
  const queue = [...chosen]
  const limit = values.seeds === '1000' ? 1000 : seeds
  let missed = 0
  console.log(`${'mechanism'.padEnd(20)}  ${'caught by seed'.padEnd(14)}  what was seen`)
  await Promise.all(
    Array.from({ length: Math.min(threads, chosen.length) }, async () => {
      for (let mutation = queue.shift(); mutation !== undefined; mutation = queue.shift()) {
        const one = thread({ mutation: mutation.name })
        const clean = thread({})
        let caught: JobDone['violations'][number] | undefined
        for (let first = from; first < from + limit && caught === undefined; first += chunk) {
          const job = { seeds: Array.from({ length: Math.min(chunk, from + limit - first) }, (_, i) => first + i), untilViolation: true }
          caught = (await one.run(job)).violations[0]
          // A violation that the same seed has without the mutation proves nothing.
          if (caught !== undefined && (await clean.run({ seeds: [caught.seed], untilViolation: true })).violations.length > 0)
            caught = undefined
        }
        one.end()
        clean.end()
        if (caught === undefined) missed++
        const seen = caught === undefined ? `NOT CAUGHT in ${limit} seeds (${mutation.guards})` : caught.violations[0]!.split('\n')[0]!
        console.log(`${mutation.name.padEnd(20)}  ${String(caught?.seed ?? '-').padEnd(14)}  ${seen.slice(0, 180)}`)
      }
    }),
  )
  console.log(missed === 0 ? `all ${chosen.length} caught` : `${missed} of ${chosen.length} not caught`)
  return missed === 0 ? 0 : 1
}

if (values.seed !== undefined) {
  const { runSeed } = await import('./history.ts')
  const outcome = await runSeed(whole('seed', values.seed), { trace: (text) => console.log(text), strict: true })
  for (const violation of outcome.violations) console.log(`VIOLATION ${violation}`)
  process.exitCode = outcome.violations.length > 0 ? 1 : 0
} else process.exitCode = values.mutate === true ? await prove(positionals[0]) : await simulate()
