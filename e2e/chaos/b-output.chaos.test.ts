// A process writes far more than the line can carry. The agent reads only what it may send, so its memory does not grow.
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect } from 'vitest'
import { setup, teardown } from './setup.ts'
import type { Chaos } from './setup.ts'
import { scenario } from './table.ts'

/** The limit of the requirement: how much more than the idle agent. */
const allowedMb = 100
const linesOfBlock = 50_000
const blocks = 100
/** How much of the output is compared; more would only cost time. */
const maxCompared = 20_000_000

let chaos: Chaos
beforeAll(async () => {
  chaos = await setup()
})
afterAll(() => teardown(chaos))

const rssMb = async (pid: number) => Number(/^VmRSS:\s+(\d+)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

scenario(
  41,
  'a process writes 50 MB/s for 10 s: the agent stays within 100 MB over its idle size, and what the log has of it is what was written',
  'window of unacknowledged bytes; an agent that may not send does not read',
  async () => {
    const { pid } = chaos.agent
    // Run a task first, or the code that the first task loads would count as growth.
    await chaos.script(chaos.ledger.scripts.quick())
    await chaos.verdict()
    const idle = await rssMb(pid)

    // 500 MB in ten seconds, if the computer is fast enough: 5 MB whenever less than 50 MB/s were written, in numbered lines of 100 characters.
    const command = `awk 'BEGIN { for (i = 0; i < ${linesOfBlock}; i++) printf "%099d\\n", i }' >"$HOME/block"
now() { read -r up _ </proc/uptime; up=\${up%.*}\${up#*.}; }
now; from=$up; n=0
while [ $n -lt ${blocks} ]; do now; if [ $((up - from)) -ge $((n * 10)) ]; then cat "$HOME/block"; n=$((n + 1)); else sleep 0.01; fi; done
now; echo "written $((up - from))" >&2; exec sleep 1000`
    const { id } = await chaos.client.task({ kind: 'shell', project_id: 'demo', target: 'pool', command })
    let peak = 0
    let seen = ''
    let took = 0
    const over = new AbortController()
    const measuring = (async () => {
      while (!over.signal.aborted) {
        peak = Math.max(peak, await rssMb(pid))
        await sleep(50)
      }
    })()
    for await (const event of chaos.client.events(id, { resume: true })) {
      if (event.type !== 'output') continue
      if (event.data.stream === 'stderr') {
        took = Number(String(event.data.text).split(' ')[1]) / 100
        break
      }
      if (seen.length < maxCompared) seen += String(event.data.text)
    }
    over.abort()
    await measuring
    const block = Array.from({ length: linesOfBlock }, (_, i) => `${String(i).padStart(99, '0')}\n`).join('')
    console.log(
      `41: ${Math.round((block.length * blocks) / 1e6 / took)} MB/s for ${took} s; idle ${idle.toFixed(0)} MB, at most ${peak.toFixed(0)} MB`,
    )
    expect(peak - idle).toBeLessThan(allowedMb)
    expect(seen === block.repeat(Math.ceil(seen.length / block.length)).slice(0, seen.length)).toBe(true)
  },
)
