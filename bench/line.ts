// What the line costs, each figure beside the raw way in the same run. docs/bench.md says what each row means.
//   npm run bench:line                        everything embedded, local pods; with KUBECONFIG set, the cluster's pods as well
//   npm run bench:line -- embedded            one part of it: embedded, rate or cluster
// Figures on a shared machine wander; read the ratios.
import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { startStack } from '../dev/stack.ts'
import { cluster } from './cluster.ts'
import { bareLatency, lineLatency, pipeLatency } from './latency.ts'
import { rate } from './rate.ts'
import { spawnStarts, taskStarts, warmUp } from './starts.ts'
import { printLatency, printStarts } from './table.ts'

async function embedded(directory: string): Promise<void> {
  const stack = await startStack({ dataDirectory: `${directory}/embedded`, port: 0 })
  try {
    await warmUp(stack)
    printLatency(
      'Event latency: process write → reader (ms)',
      ['the process’s own pipe', await pipeLatency()],
      ['the line, read as SSE', await lineLatency(stack)],
      { floor: ['by hand through the bare worker', await bareLatency()] },
    )
    printStarts(
      'Start: asked → process runs (ms)',
      ['spawn of the same command', await spawnStarts()],
      ['POST /v1/tasks', await taskStarts(stack)],
    )
  } finally {
    await stack.stop()
  }
}

const parts = { embedded, rate, cluster }
const wanted = process.argv.length > 2 ? process.argv.slice(2) : ['embedded', 'rate', ...(process.env.KUBECONFIG ? ['cluster'] : [])]
const unknown = wanted.filter((part) => !(part in parts))
if (unknown.length > 0) throw new Error(`no such part: ${unknown.join(', ')}; there are ${Object.keys(parts).join(', ')}`)

const load = loadavg().map((value) => value.toFixed(2))
console.log(
  `${availableParallelism()} cores, load average before ${load.join(' ')}, ${process.platform} ${process.arch}, Node ${process.version}`,
)

const directory = await mkdtemp(`${tmpdir()}/rdev-bench-`)
try {
  for (const [name, part] of Object.entries(parts)) if (wanted.includes(name)) await part(directory)
} finally {
  await rm(directory, { recursive: true, force: true })
}
