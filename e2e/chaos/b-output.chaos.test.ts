// A process writes far more than the line can carry: the agent reads only what it may send, so its memory stays where it was.
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect } from 'vitest'
import { setup, teardown } from './setup.ts'
import type { Chaos } from './setup.ts'
import { scenario } from './table.ts'

/** Part of the requirement: over the idle agent. */
const allowedMb = 100
const linesOfBlock = 50_000
const blocks = 100
/** Of what arrived; the rest would only cost time. */
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
  'window of unacknowledged bytes; who may not send does not read',
  async () => {
    const { pid } = chaos.agent
    // One that has run something, or the first task's code would count as growth.
    await chaos.script(chaos.ledger.scripts.quick())
    await chaos.verdict()
    const idle = await rssMb(pid)

    // 500 MB in ten seconds, if the machine lets it: 5 MB whenever less than 50 MB/s were written, in numbered lines of 100 characters.
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
