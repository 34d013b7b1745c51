// Clients that read: cut at any byte, and gone without a word.
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect } from 'vitest'
import { createParser } from 'eventsource-parser'
import type { TaskEvent } from '@rdev/shared/domain/event'
import { bundleWithout } from './bundle-without.ts'
import { pages } from './judge.ts'
import { eventually, setup, teardown } from './setup.ts'
import type { Chaos } from './setup.ts'
import { scenario } from './table.ts'
import { withoutVariable } from './without.ts'

const cuts = Number(process.env.RDEV_CHAOS_CUTS ?? 1_000)

let chaos: Chaos
beforeAll(async () => {
  const without = ['hasty streams', process.env[withoutVariable] ?? ''].filter(Boolean).join(',')
  chaos = await setup({ bundle: (outFile) => bundleWithout(without, outFile) })
})
afterAll(() => teardown(chaos))

scenario(
  43,
  `an SSE client is cut ${cuts.toLocaleString('en')} times at a random byte: it comes back with Last-Event-ID, and has exactly what the pages have`,
  'Last-Event-ID',
  async () => {
    const { id } = await chaos.script(chaos.ledger.scripts.counting(300, 0.05))
    const passes: TaskEvent[][] = [[]]
    let done = 0
    let whole = 0
    while (done < cuts) {
      const events = passes.at(-1)!
      const cut = { happened: false }
      const bytes = 1 + Math.floor(Math.random() * 2_000)
      void chaos.clientProxy.cutAfter(bytes, { direction: 'down', path: /\/events$/ }).then(() => (cut.happened = true))
      const ended = await readOnce(id, events)
      // Neither: the stream came to the end of its own time.
      if (cut.happened) done++
      if (!ended) continue
      // The log is complete: once more from its beginning.
      whole++
      passes.push([])
    }
    await chaos.verdict()
    const oracle = await pages(chaos.client, id)
    for (const events of passes) expect(events).toEqual(oracle.slice(0, events.length))
    console.log(`43: ${cuts} cuts, ${whole} times to the end of ${oracle.length} events`)
    expect(whole).toBeGreaterThan(0)
  },
)

/** One connection, from after the last whole event; answers whether the log is at its end. */
async function readOnce(id: string, events: TaskEvent[]): Promise<boolean> {
  const last = events.at(-1)
  try {
    const response = await chaos.proxied.fetch('GET', `/v1/tasks/${id}/events`, {
      headers: { accept: 'text/event-stream', ...(last ? { 'last-event-id': String(last.seq) } : {}) },
    })
    if (response.status === 204) return true
    const parser = createParser({
      onEvent: ({ id: seq, event, data }) => {
        if (!seq || event === 'stream.end') return
        const parsed = JSON.parse(data) as TaskEvent
        expect(parsed.seq).toBe((events.at(-1)?.seq ?? 0) + 1)
        events.push(parsed)
      },
    })
    for await (const text of response.body!.pipeThrough(new TextDecoderStream())) parser.feed(text)
  } catch (error) {
    // undici says so when the connection broke, before the head or after it.
    if (!(error instanceof TypeError)) throw error
  }
  return events.at(-1)?.type === 'task.finished'
}

/** TCP connections that the control plane holds open with clients that came through the proxy; both ends are of this machine. */
async function heldByControlPlane(): Promise<number> {
  const port = Number(new URL(chaos.url).port).toString(16).toUpperCase().padStart(4, '0')
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8').catch(() => '')))
  const established = '01'
  return tables
    .join('\n')
    .split('\n')
    .filter((line) => {
      const [, local, , state] = line.trim().split(/\s+/)
      return local?.endsWith(`:${port}`) && state === established
    }).length
}

async function vanish(script: string) {
  const { id } = await chaos.client.task({ kind: 'shell', project_id: 'demo', target: 'pool', command: script })
  const before = await heldByControlPlane()
  const gone = new AbortController()
  const response = await chaos.proxied.fetch('GET', `/v1/tasks/${id}/events`, {
    headers: { accept: 'text/event-stream' },
    signal: gone.signal,
  })
  const reader = response.body!.getReader()
  await reader.read()
  expect(await heldByControlPlane()).toBe(before + 1)
  const hold = chaos.clientProxy.hold({ existing: true })
  return {
    id,
    let: async () => {
      await eventually(async () => (await heldByControlPlane()) <= before, 'the control plane lets go of the client')
      gone.abort()
      hold.release()
      chaos.clientProxy.cut()
    },
  }
}

scenario(
  44,
  'a client of a busy log vanishes without a word: it is dropped, and costs the task nothing',
  'limit of an undrained stream',
  async () => {
    // More than every buffer on the way holds.
    const busy = `n=0; while [ $n -lt 40 ]; do n=$((n + 1)); seq -f "%0500.0f" 1 800; sleep 0.1; done`
    const client = await vanish(busy)
    await client.let()
    const task = await chaos.client.finished(client.id)
    expect(task.status).toBe('succeeded')
  },
)
