// Clients that read: cut at any byte, and gone without a word.
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect } from 'vitest'
import { createParser } from 'eventsource-parser'
import type { TaskEvent } from '@rdev/shared/domain/event'
import { until } from '../setup.ts'
import { bundleWithout } from './bundle-without.ts'
import { collectEntered } from './entered.ts'
import { pages } from './judge.ts'
import { eventually, setup, teardown } from './setup.ts'
import type { Chaos } from './setup.ts'
import { scenario } from './table.ts'
import { withoutVariable } from './without.ts'

const cuts = Number(process.env.RDEV_CHAOS_CUTS ?? 1_000)

const entered = collectEntered()
let chaos: Chaos
beforeAll(async () => {
  const without = ['hasty streams', 'counted objects', process.env[withoutVariable] ?? ''].filter(Boolean).join(',')
  chaos = await setup({ bundle: (outFile) => bundleWithout(without, outFile), onLog: entered.onLog })
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
    while (done < cuts || whole === 0) {
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
    // The last cut may not have come; nobody else shall get it.
    void chaos.clientProxy.cutAfter(1, { path: /^none$/ })
    await chaos.verdict()
    const oracle = await pages(chaos.client, id)
    for (const events of passes) expect(events).toEqual(oracle.slice(0, events.length))
    console.log(`43: ${cuts} cuts, ${whole} times to the end of ${oracle.length} events`)
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

/** The far ports of the connections that the control plane holds open, as the kernel lists them; both ends are of this machine. */
async function heldByControlPlane(): Promise<Set<string>> {
  const port = Number(new URL(chaos.url).port).toString(16).toUpperCase().padStart(4, '0')
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8').catch(() => '')))
  const established = '01'
  const rows = tables
    .join('\n')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
  const held = rows.filter(([, local, , state]) => local?.endsWith(`:${port}`) && state === established)
  return new Set(held.map(([, , far]) => far?.split(':')[1] ?? ''))
}

/** A reader of a new task whose connection, from its first bytes on, is neither read nor closed. */
async function vanish(command: string) {
  const { id } = await chaos.client.task({ kind: 'shell', project_id: 'demo', target: 'pool', command })
  // Then the attempt's own line is there already, and this reader has gone again.
  const left = entered.next('TaskLog.webSocketClose', id)
  await until(chaos, id, ({ type }) => type === 'output')
  await left
  const headers = { accept: 'text/event-stream' }
  const response = await chaos.proxied.fetch('GET', `/v1/tasks/${id}/events`, { headers })
  const reader = response.body!.getReader()
  await reader.read()
  const [port] = chaos.clientProxy.farPorts(new RegExp(`/${id}/events`))
  const own = port?.toString(16).toUpperCase().padStart(4, '0') ?? ''
  expect(await heldByControlPlane()).toContain(own)
  const hold = chaos.clientProxy.hold({ existing: true })
  return {
    id,
    /** It is there again: what it reads to the end of its connection, and how that came. */
    comesBack: async () => {
      hold.release()
      let text = ''
      try {
        for (let next = await reader.read(); !next.done; next = await reader.read())
          text = (text + Buffer.from(next.value).toString()).slice(-200)
        return { text, broken: false }
      } catch {
        return { text, broken: true }
      }
    },
    letGo: () => eventually(async () => !(await heldByControlPlane()).has(own), 'the control plane lets go of the connection'),
    forget: () => {
      hold.release()
      chaos.clientProxy.cut()
    },
  }
}

async function cancel(id: string) {
  await chaos.client.json('POST', `/v1/tasks/${id}/cancel`)
  expect(await chaos.client.finished(id)).toMatchObject({ status: 'cancelled' })
}

scenario(
  44,
  'a client of a busy log vanishes without a word: its stream is given up, and is not written on when it shows up again',
  'limit of an undrained stream',
  async () => {
    // More than every buffer on the way holds.
    const { id, comesBack, letGo } = await vanish(
      `n=0; while [ $n -lt 40 ]; do n=$((n + 1)); seq -f "%0500.0f" 1 800; sleep 0.05; done; echo over; exec sleep 1000`,
    )
    await until(chaos, id, ({ data }) => typeof data.text === 'string' && data.text.includes('over'))
    // The limit is 2 s here.
    await new Promise((resolve) => setTimeout(resolve, 5_000))
    const { text, broken } = await comesBack()
    expect(text).not.toContain('stream.end')
    expect(broken).toBe(true)
    await letGo()
    await cancel(id)
  },
)

scenario(
  44,
  'a client of a quiet log vanishes without a word: the log is rid of it when its stream has had its time',
  'streams end on purpose',
  async () => {
    const { id, forget } = await vanish(`echo begun; exec sleep 1000`)
    // Nothing is written that could show that nobody reads, but heartbeats, which the network's buffers take.
    await entered.next('TaskLog.webSocketClose', id)
    forget()
    await cancel(id)
  },
)
