// Clients that read: cut at any byte, and gone without closing the connection.
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
      // Neither: the stream reached its time limit.
      if (cut.happened) done++
      if (!ended) continue
      // The log is complete: read it again from the beginning.
      whole++
      passes.push([])
    }
    // The last cut may still be pending; it must not hit another connection.
    void chaos.clientProxy.cutAfter(1, { path: /^none$/ })
    await chaos.verdict()
    const oracle = await pages(chaos.client, id)
    for (const events of passes) expect(events).toEqual(oracle.slice(0, events.length))
    console.log(`43: ${cuts} cuts, ${whole} times to the end of ${oracle.length} events`)
  },
)

/** Reads one connection, from after the last whole event. Answers whether the log has ended. */
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
    // undici throws this when the connection broke, before the head or after it.
    if (!(error instanceof TypeError)) throw error
  }
  return events.at(-1)?.type === 'task.finished'
}

/** The remote ports of the control plane's open connections, as the kernel lists them; both ends are on this computer. */
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

/** A reader of a new task. From the first bytes on, its connection is neither read nor closed. */
async function vanish(command: string) {
  const { id } = await chaos.client.task({ kind: 'shell', project_id: 'demo', target: 'pool', command })
  // By then the attempt's own line is open, and this reader is gone again.
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
    /** The reader is back: what it reads to the end of its connection, and how the connection ended. */
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
  'a client of a busy log vanishes without closing its connection: its stream is given up, and is not written to when it comes back',
  'limit of an undrained stream',
  async () => {
    // More than all buffers on the way hold.
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
  'a client of a quiet log vanishes without closing its connection: the log closes its stream at the time limit of a stream',
  'streams end on purpose',
  async () => {
    const { id, forget } = await vanish(`echo begun; exec sleep 1000`)
    // Only heartbeats are written. They fit the network's buffers, so they do not show that the client does not read.
    await entered.next('TaskLog.webSocketClose', id)
    forget()
    await cancel(id)
  },
)
