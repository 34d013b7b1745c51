// What the life of one attempt costs in its pod: a start, the process `true`, its end, the removal. Other builds are measured beside this one,
// interleaved: `npm run bench:pod -- ../another-checkout` (installed, with a folder `node_modules`).
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openAccount, type Account } from './account.ts'
import { percentile, printTable } from './table.ts'

const rounds = Number(process.env.RDEV_BENCH_ROUNDS ?? 20)
const livesPerRound = 10

interface Build {
  readonly directory: string
  readonly child: ChildProcess
  readonly account: Account
  /** Milliseconds of processor per life, by round. */
  readonly pod: number[]
  readonly agent: number[]
  readonly took: number[]
}

export interface Lived {
  /** Of the program that asks, in milliseconds. */
  readonly ownMs: number
  readonly tookMs: number
}

async function open(directory: string, index: number): Promise<Build> {
  const child = fork(new URL('./pod-life-run.ts', import.meta.url), [directory])
  const account = await openAccount(`rdev-pod-life-${index}`, child.pid!)
  if (!account) throw new Error('this bench needs the right to make control groups (cgroups)')
  await once(child, 'message')
  return { directory, child, account, pod: [], agent: [], took: [] }
}

async function round({ child, account, pod, agent, took }: Build): Promise<void> {
  const before = await account.usedMs()
  child.send(livesPerRound)
  const [lived] = (await once(child, 'message')) as [Lived]
  const used = (await account.usedMs()) - before
  pod.push((used - lived.ownMs) / livesPerRound)
  agent.push(lived.ownMs / livesPerRound)
  took.push(lived.tookMs / livesPerRound)
}

const here = fileURLToPath(new URL('..', import.meta.url))
const directories = [...new Set([...process.argv.slice(2), here].map((directory) => resolve(directory)))]
const builds: Build[] = []
for (const directory of directories) builds.push(await open(directory, builds.length))
for (let i = 0; i < rounds; i++) for (const build of builds) await round(build)
const first = percentile(builds[0]!.pod, 0.5)
printTable(
  `Processor of one attempt's life (\`true\`), ms: median of ${rounds} rounds of ${livesPerRound}`,
  ['build', 'in the pod', 'lowest round', 'in the agent', 'wall', 'ratio in the pod'],
  builds.map(({ directory, pod, agent, took }) => [
    directory,
    percentile(pod, 0.5),
    Math.min(...pod),
    percentile(agent, 0.5),
    percentile(took, 0.5),
    percentile(pod, 0.5) / first,
  ]),
)
for (const { child, account } of builds) {
  child.send('end')
  await once(child, 'exit')
  await account.close()
}
