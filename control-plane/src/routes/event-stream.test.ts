import { expect, test } from 'vitest'
import type { LogItem } from '../ports/task-logs.ts'
import { chunksOf, parseSse } from '../testing/read-stream.ts'
import { eventStream, ndjson, provenServerSentEvents, serverSentEvents, streamLimits } from './event-stream.ts'
import type { StreamFormat, StreamLimits, StreamSource } from './event-stream.ts'

const line = (seq: number): LogItem => ({ seq, type: 'output', json: `{"seq":${seq}}` })

/** A log that is silent until `say`. */
function setup(format: StreamFormat = serverSentEvents, limits: Partial<StreamLimits> = {}, source: Partial<StreamSource> = {}) {
  const gone = new AbortController()
  const said: (readonly LogItem[])[] = []
  let wake = () => {}
  const released = Promise.withResolvers<void>()
  async function* follow(signal: AbortSignal) {
    signal.addEventListener('abort', () => {
      released.resolve()
      wake()
    })
    while (!signal.aborted) {
      const batch = said.shift()
      if (batch) yield batch
      else await new Promise<void>((resolve) => void (wake = resolve))
    }
    return false
  }
  const stream = eventStream({ follow, allowed: async () => true, failed: () => undefined, gone: gone.signal, ...source }, format, {
    ...streamLimits,
    ...limits,
  })
  return {
    gone,
    released: released.promise,
    chunks: chunksOf(new Response(stream)),
    say: (...batch: LogItem[]) => {
      said.push(batch)
      wake()
    },
  }
}

test('a batch is one chunk', async () => {
  const { chunks, say } = setup()
  await chunks.next()
  say(line(1), line(2))
  expect(await chunks.next()).toBe('event: output\ndata: {"seq":1}\nid: 1\n\nevent: output\ndata: {"seq":2}\nid: 2\n\n')
  await chunks.cancel()
})

test('a silent Server-Sent Events stream sends comments as heartbeat', async () => {
  const { chunks, say } = setup(serverSentEvents, { heartbeatMs: 5 })
  expect(await chunks.next()).toBe('retry: 1000\n')
  expect(await chunks.next()).toBe(': hb\n')
  say(line(1))
  let next = await chunks.next()
  while (next === ': hb\n') next = await chunks.next()
  expect(next).toContain('id: 1\n')
  await chunks.cancel()
})

const ofTicket = provenServerSentEvents(0, 'p'.repeat(22))
const kinds: [string, StreamFormat][] = [
  ['a key', serverSentEvents],
  ['a ticket', ofTicket],
]

test.each(kinds)('no block is without data, with %s: opening and heartbeats are lines of the block that follows', async (_, format) => {
  const { chunks, say } = setup(format, { heartbeatMs: 5, rotateMs: 60 })
  let text = ''
  for (let seq = 1; seq < 4; seq++) {
    for (let beats = 0; beats < 2; beats++) text += await chunks.next()
    say(line(seq))
  }
  text += await chunks.rest()
  expect(text).toMatch(/^retry: 1000\n/)
  expect(text).toContain(': hb\n')
  const blocks = text.split('\n\n').slice(0, -1)
  expect(blocks.filter((block) => !/^data: /m.test(block))).toEqual([])
  expect(
    parseSse(text)
      .filter(({ event }) => event !== 'stream.start')
      .map(({ id, event }) => id?.split('.')[0] ?? event),
  ).toEqual(['1', '2', '3', 'stream.end'])
})

test('the stream of a ticket tells an id before any event, in a block that every client takes for a message', async () => {
  const { chunks } = setup(ofTicket)
  expect(parseSse((await chunks.next())!)).toEqual([{ id: `0.${'p'.repeat(22)}`, event: 'stream.start', data: '{"after":0}' }])
  await chunks.cancel()
})

test.each(kinds)('the id of a block is its last line, with %s: a client that was cut in the data has no id of it', async (_, format) => {
  const { chunks, say } = setup(format)
  await chunks.next()
  say(line(1), line(2))
  for (const block of (await chunks.next())!.split('\n\n').slice(0, -1)) expect(block).toMatch(/^event: output\ndata: .*\nid: [^\n]*$/)
  await chunks.cancel()
})

test('a silent stream is never silent for as long as the strictest proxy waits', () => {
  expect(streamLimits.heartbeatMs).toBeLessThan(10_000)
})

test('a silent NDJSON stream sends spaces as heartbeat, and every line stays JSON', async () => {
  const { chunks, say } = setup(ndjson, { heartbeatMs: 5 })
  let text = (await chunks.next())!
  expect(text).toBe(' ')
  say(line(1))
  while (!text.endsWith('\n')) text += await chunks.next()
  expect(JSON.parse(text)).toEqual({ seq: 1 })
  await chunks.cancel()
})

test('a stream that is too old ends on purpose and releases its log', async () => {
  const { chunks, released } = setup(serverSentEvents, { heartbeatMs: 5, rotateMs: 10 })
  expect(await chunks.rest()).toContain('event: stream.end\ndata: {"reason":"rotate"}')
  await released
  const lines = setup(ndjson, { heartbeatMs: 5, rotateMs: 10 })
  expect(JSON.parse(await lines.chunks.rest())).toEqual({ type: 'stream.end', data: { reason: 'rotate' } })
})

test('a client that stops reading is dropped, and its log released', async () => {
  const { chunks, released, say } = setup(serverSentEvents, { heartbeatMs: 5, drainMs: 10 })
  await chunks.next()
  say(line(1))
  await chunks.next()
  await released
  await expect(chunks.next()).rejects.toThrow('the client does not read')
})

test('for a client that was gone before the stream began nothing is read', async () => {
  const gone = new AbortController()
  gone.abort()
  const { chunks, say } = setup(ndjson, {}, { gone: gone.signal })
  say(line(1))
  expect(await chunks.rest()).not.toContain('"seq"')
})

test('a database that is away while the key is checked ends no stream', async () => {
  let asked = 0
  const allowed = async () => {
    asked++
    if (asked < 3) throw new Error('away')
    return false
  }
  const { chunks } = setup(serverSentEvents, { heartbeatMs: 5, recheckMs: 5 }, { allowed })
  expect(await chunks.rest()).toContain('{"reason":"unauthorized"}')
  expect(asked).toBe(3)
})
