// npm run simulate -- [--seeds N] [--from N] | --seed N | --mutate [NAME]

import { runSeed } from './history.ts'

const arg = (name: string): string | undefined => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? undefined : (process.argv[at + 1] ?? '')
}

const one = arg('seed')
if (one !== undefined) {
  const outcome = await runSeed(Number(one), { trace: (line) => console.log(line), strict: true })
  for (const violation of outcome.violations) console.log(`VIOLATION ${violation}`)
  process.exit(outcome.violations.length > 0 ? 1 : 0)
}
const from = Number(arg('from') ?? 1)
const seeds = Number(arg('seeds') ?? 1000)
const began = performance.now()
let bad = 0
const totals: Record<string, number> = {}
for (let seed = from; seed < from + seeds; seed++) {
  const outcome = await runSeed(seed)
  for (const [what, count] of Object.entries(outcome.counts)) totals[what] = (totals[what] ?? 0) + count
  if (outcome.violations.length > 0) {
    bad++
    console.log(`seed ${seed} [${outcome.faults.join(', ')}]: ${outcome.violations[0]} (+${outcome.violations.length - 1})`)
    if (bad >= 30) break
  }
}
console.log(totals)
console.log(`${seeds} seeds, ${bad} bad, ${((performance.now() - began) / 1000).toFixed(1)} s`)
