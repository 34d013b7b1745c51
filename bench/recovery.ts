// How long the streams of many live runs stand still when a program is killed: from when it is back (the control plane listens, the agent was
// spawned) until each reader has every line that its process had written by then. docs/bench.md says what each row means.
//   npm run bench:recovery                    both programs
//   npm run bench:recovery -- agent           one of them: control-plane or agent
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { bundleClusterAgent, repository } from '../dev/bundle.ts'
import { openAccount } from './account.ts'
import { lineEveryMs, startRuns, type LiveRuns } from './live-runs.ts'
import { sizes, wantedParts } from './options.ts'
import { processorOf, type Shares } from './processor.ts'
import { startQueueStack } from './queue-stack.ts'
import { percentile, printTable } from './table.ts'

interface Round {
  readonly name: string
  /** From the kill to its return. */
  readonly awayMs: number
  /** Of each stream, from its return. */
  readonly caughtUpMs: readonly number[]
  /** When the agent was welcomed, from the return; by its own log. */
  readonly welcomeMs: number
  /** Until the last had caught up; what the runs and their supervisors take anyway is in it. */
  readonly usedMs: Shares
}

const restMs = Number(process.env.RDEV_BENCH_REST_MS ?? 65_000)
/** A reader that has not caught up by then counts with this time. */
const limitMs = 120_000

const serverUrl =
  process.env.RDEV_TEST_POSTGRES_URL ?? execFileSync(`${repository}dev/postgres-server.sh`, ['start'], { encoding: 'utf8' }).trim()
const directory = await mkdtemp(`${tmpdir()}/rdev-bench-recovery-`)
console.log(`load average ${loadavg()[0]?.toFixed(2)}, ${availableParallelism()} cores, Node ${process.version}`)

let welcomedAt = Number.POSITIVE_INFINITY
const stack = await startQueueStack({ serverUrl, directory }, 'recovery', {
  slots: sizes.runs,
  logLevel: 'info',
  // The agent is the bundle, as its image has it: from its sources it takes four times the processor to start. And should this program die,
  // its runs do not stay for half an hour.
  agentEnv: { RDEV_ORPHAN_TTL_S: '300', RDEV_AGENT_FILE: await bundleClusterAgent(`${directory}/agent`) },
  onLog: (text) => {
    if (text.includes('"agent connected"')) welcomedAt = performance.now()
    for (const line of text.split('\n')) if (/"level":"error"/.test(line) || (process.env.RDEV_BENCH_PRINT && line)) console.error(line)
  },
})
const runs = await startRuns(stack, sizes.runs)
console.log(`${sizes.runs} runs, a line every ${lineEveryMs} ms; load average ${loadavg()[0]?.toFixed(2)}`)
const rounds: Round[] = []
await settled(runs)
console.log(`before: readers are behind by p50 ${percentile(await behind(runs), 0.5)}, p95 ${percentile(await behind(runs), 0.95)} lines`)
const parts = wantedParts({
  'control-plane': () => killAgain('control plane', runs, () => stack.controlPlane.kill('SIGKILL'), stack.startControlPlane),
  agent: () => killAgain('agent', runs, () => stack.agent.kill('SIGKILL'), stack.startAgent),
})
for (const part of parts) await part()
print(rounds)
const wrong = runs.runs.reduce((sum, run) => sum + run.wrong, 0)
console.log(`\nLines that came twice or were left out: ${wrong}`)
await runs.stop()
await stack.stop()
await rm(directory, { recursive: true, force: true })
process.exit(wrong === 0 ? 0 : 1)

async function killAgain(name: string, live: LiveRuns, kill: () => Promise<void>, start: () => Promise<void>): Promise<void> {
  for (let round = 1; round <= sizes.rounds; round++) {
    await settled(live)
    welcomedAt = Number.POSITIVE_INFINITY
    const killed = performance.now()
    await kill()
    await start()
    const back = performance.now()
    const lines = await live.written()
    const { pid } = stack.agent
    const account = await openAccount(`rdev-bench-${rounds.length}`, pid)
    const programs = { groups: { 'control plane': stack.controlPlane.pid, agent: pid }, databaseUrl: stack.databaseUrl, account }
    const late = new Promise<number>((resolve) => setTimeout(resolve, limitMs, Number.POSITIVE_INFINITY).unref())
    const { result: at, usedMs } = await processorOf(programs, () =>
      Promise.all(live.runs.map((run, index) => Promise.race([run.reaches(lines[index]!), late]))),
    )
    rounds.push({
      name: `${name}, ${round}`,
      awayMs: back - killed,
      caughtUpMs: at.map((ms) => Math.max(0, ms - back)),
      welcomeMs: welcomedAt - back,
      usedMs,
    })
    print(rounds.slice(-1))
  }
}

/** How many lines each reader lacks of what is written. */
async function behind({ runs: all, written }: LiveRuns): Promise<number[]> {
  const lines = await written()
  return all.map((run, index) => lines[index]! - run.seen)
}

/** Until every reader has what was written when this was asked, and every socket counts as healthy: what is cut again sooner waits longer on purpose. */
async function settled(live: LiveRuns): Promise<void> {
  const lines = await live.written()
  await Promise.all(live.runs.map((run, index) => run.reaches(lines[index]!)))
  await new Promise((resolve) => setTimeout(resolve, restMs))
}

function print(of: readonly Round[]): void {
  printTable(
    `Streams that have caught up, ms after the program is back; ${sizes.runs} live runs`,
    ['killed', 'away', 'agent welcomed', 'p50', 'p95', 'max'],
    of.map(({ name, awayMs, caughtUpMs, welcomeMs }) => [
      name,
      awayMs,
      welcomeMs,
      percentile(caughtUpMs, 0.5),
      percentile(caughtUpMs, 0.95),
      Math.max(...caughtUpMs),
    ]),
  )
  const programs = Object.keys(of[0]?.usedMs ?? {})
  printTable(
    'Processor until then (ms)',
    ['killed', ...programs],
    of.map(({ name, usedMs }) => [name, ...programs.map((program) => usedMs[program] ?? Number.NaN)]),
  )
}
