import { eventPageSchema, streamTicketSchema } from '@rdev/shared/api/events'
import type { Problem } from '@rdev/shared/api/problem'
import { expect, test } from 'vitest'
import type { z } from 'zod'
import { anActor } from '../testing/actor.ts'
import { chunksOf, parseSse } from '../testing/read-stream.ts'
import { setup as setupApi } from '../testing/setup.ts'
import { ticketLifeMs } from '../usecases/issue-ticket.ts'

type EventPage = z.infer<typeof eventPageSchema>

const sse = { accept: 'text/event-stream' }
const ndjson = { accept: 'application/x-ndjson' }

/** A running task with `task.queued`, `task.leased` and `task.started` in its log. */
async function setup(options: Parameters<typeof setupApi>[0] = {}) {
  const api = await setupApi(options)
  const { id } = await api.createTask()
  await api.start(id)
  return { ...api, id, events: `/v1/tasks/${id}/events` }
}

test('pages, Server-Sent Events and NDJSON carry identical events, from every seq on', async () => {
  const { call, id, events, logs, finish } = await setup()
  for (let i = 0; i < 20; i++) logs.append(id, 'output', { stream: 'stdout', text: `line ${i} — ü\n\u2028` })
  await finish(id)
  const all = (await (await call('GET', `${events}?limit=1000`)).json<EventPage>()).data
  expect(all.map(({ seq }) => seq)).toEqual(all.map((_, i) => i + 1))
  expect(all.at(-1)?.type).toBe('task.finished')

  for (let after = 0; after < all.length; after++) {
    const rest = all.slice(after)
    const page = await (await call('GET', `${events}?after=${after}&limit=1000`)).json<EventPage>()
    expect(eventPageSchema.parse(page)).toEqual(page)
    expect(page).toEqual({ data: rest, next_after: all.length, finished: true })

    const messages = parseSse(await (await call('GET', events, { headers: { ...sse, 'last-event-id': String(after) } })).text())
    expect(messages.at(-1)).toMatchObject({ event: 'stream.end', data: '{"reason":"finished"}', id: undefined })
    expect(messages.slice(0, -1).map(({ data }) => JSON.parse(data))).toEqual(rest)
    expect(messages.slice(0, -1).map(({ id, event }) => [id, event])).toEqual(rest.map(({ seq, type }) => [String(seq), type]))

    const lines = (await chunksOf(await call('GET', `${events}?after=${after}`, { headers: ndjson })).rest()).trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line))).toEqual(rest)
  }
})

test('pages are read on by next_after until finished', async () => {
  const { call, id, events, logs, finish } = await setup()
  logs.append(id, 'output', { stream: 'stdout', text: 'x' })
  await finish(id)
  const seqs: number[] = []
  for (let after = 0, finished = false; !finished;) {
    const page = await (await call('GET', `${events}?after=${after}&limit=2`)).json<EventPage>()
    seqs.push(...page.data.map(({ seq }) => seq))
    after = page.next_after
    finished = page.finished
  }
  expect(seqs).toEqual([1, 2, 3, 4, 5])
  expect(await (await call('GET', `${events}?after=5`)).json()).toEqual({ data: [], next_after: 5, finished: true })
})

test('a stream opens at once, sends what is there, then what comes, and ends by itself', async () => {
  const { call, id, events, logs, finish } = await setup()
  const response = await call('GET', events, { headers: sse })
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  expect(response.headers.get('cache-control')).toContain('no-store')
  expect(response.headers.get('vary')).toBe('accept')
  const chunks = chunksOf(response)
  expect(await chunks.next()).toBe('retry: 1000\n')
  const first = await chunks.next()
  expect(parseSse(first!).map(({ event }) => event)).toEqual(['task.queued', 'task.leased', 'task.started'])

  const line = logs.append(id, 'output', { stream: 'stdout', text: 'hello' })
  expect(await chunks.next()).toBe(`event: output\ndata: ${line.json}\nid: 4\n\n`)
  await finish(id)
  expect(parseSse(await chunks.rest()).map(({ event }) => event)).toEqual(['task.finished', 'stream.end'])
  expect(logs.followers(id)).toBe(0)
})

test('deltas come only to those who ask, without an id', async () => {
  const { call, id, events, logs, finish } = await setup()
  const asked = chunksOf(await call('GET', `${events}?after=3&deltas=true`, { headers: sse }))
  const plain = chunksOf(await call('GET', `${events}?after=3`, { headers: sse }))
  await asked.next()
  await plain.next()
  const received = asked.next()
  const end = plain.rest()
  await logs.followed(id, 2)
  logs.delta(id, { text: 'he' })
  expect(parseSse((await received)!)).toMatchObject([{ event: 'message.delta', id: undefined }])
  await finish(id)
  expect(await end).not.toContain('message.delta')
})

test('coming back after the end answers 204, which stops EventSource; NDJSON is just empty', async () => {
  const { call, id, events, finish } = await setup()
  await finish(id)
  for (const after of ['4', '999']) {
    const response = await call('GET', events, { headers: { ...sse, 'last-event-id': after } })
    expect([response.status, await response.text()]).toEqual([204, ''])
  }
  const lines = await call('GET', `${events}?after=4`, { headers: ndjson })
  expect([lines.status, await chunksOf(lines).rest()]).toEqual([200, ''])
})

test('Last-Event-ID wins over after, and must be a seq', async () => {
  const { call, events } = await setup()
  const page = await (await call('GET', `${events}?after=0`, { headers: { 'last-event-id': '2' } })).json<EventPage>()
  expect(page.data.map(({ seq }) => seq)).toEqual([3])
  for (const wrong of ['-1', 'x', '1.5', '9'.repeat(20)]) {
    const response = await call('GET', events, { headers: { ...sse, 'last-event-id': wrong } })
    expect(response.status).toBe(400)
    expect((await response.json<Problem>()).errors).toMatchObject([{ parameter: 'Last-Event-ID' }])
  }
  expect((await call('GET', `${events}?after=-1`)).status).toBe(400)
})

test.each([
  [undefined, 'application/json'],
  ['*/*', 'application/json'],
  ['application/json, text/event-stream;q=0.5', 'application/json'],
  ['text/event-stream, */*;q=0.1', 'text/event-stream'],
  ['text/event-stream;q=0.2, application/x-ndjson', 'application/x-ndjson'],
])('Accept %s is answered with %s', async (accept, expected) => {
  const { call, id, events, finish } = await setup()
  await finish(id)
  const response = await call('GET', events, { headers: accept === undefined ? {} : { accept } })
  expect(response.headers.get('content-type')).toBe(expected)
  await chunksOf(response).rest()
})

test('what is not offered is not acceptable', async () => {
  const { call, events } = await setup()
  expect((await call('GET', events, { headers: { accept: 'text/html' } })).status).toBe(406)
})

test('HEAD of a stream opens none', async () => {
  const { call, id, events, logs } = await setup()
  const response = await call('HEAD', events, { headers: sse })
  expect([response.status, response.body, logs.followers(id)]).toEqual([200, null, 0])
})

test('a client that goes away leaves no reader behind, whether it cancels or its request is aborted', async () => {
  const { call, id, events, logs } = await setup()
  const cancelled = chunksOf(await call('GET', `${events}?after=3`, { headers: sse }))
  await cancelled.next()
  void cancelled.next()
  await logs.followed(id, 1)
  await cancelled.cancel()
  await logs.followed(id, 0)

  const request = new AbortController()
  const aborted = chunksOf(await call('GET', `${events}?after=3`, { headers: ndjson, signal: request.signal }))
  const end = aborted.rest()
  await logs.followed(id, 1)
  request.abort()
  await logs.followed(id, 0)
  await end
})

test('a slow client is read for only as fast as it reads', async () => {
  const { call, id, events, logs } = await setup()
  let pages = 0
  const { follow } = logs
  logs.follow = async function* (...args) {
    for await (const batch of follow(...args)) {
      pages++
      yield batch
    }
  }
  for (let i = 0; i < 5000; i++) logs.append(id, 'output', { stream: 'stdout', text: 'x' })
  const chunks = chunksOf(await call('GET', events, { headers: sse }))
  await chunks.next()
  expect(pages).toBe(0)
  await chunks.next()
  expect(pages).toBe(1)
  await chunks.cancel()
})

test('a log that does not know its task, or the end of it, learns it from its reader', async () => {
  const { call, createTask, stores, logs, deps, clock } = await setup()
  const { sync } = logs
  Object.assign(deps.logs, { sync: async () => undefined })
  const { id } = await createTask()
  Object.assign(deps.logs, { sync })
  const page = await (await call('GET', `/v1/tasks/${id}/events`)).json<EventPage>()
  expect(page.data.map(({ type }) => type)).toEqual(['task.queued'])

  await stores.tasks.change(id, anActor(), (task) => ({ ...task, status: 'cancelled', finished_at: clock.now() }))
  const text = await (await call('GET', `/v1/tasks/${id}/events?after=1`, { headers: sse })).text()
  expect(parseSse(text).map(({ event }) => event)).toEqual(['task.finished', 'stream.end'])
})

test('a follower of a log that does not know its task makes it known', async () => {
  const { call, createTask, logs, deps } = await setup()
  const { sync } = logs
  Object.assign(deps.logs, { sync: async () => undefined })
  const { id } = await createTask()
  Object.assign(deps.logs, { sync })
  const chunks = chunksOf(await call('GET', `/v1/tasks/${id}/events`, { headers: ndjson }))
  expect(JSON.parse((await chunks.next())!)).toMatchObject({ seq: 1, type: 'task.queued' })
  await chunks.cancel()
})

test('a ticket opens the events of its task for a minute, and nothing else', async () => {
  const { call, id, createTask, clock } = await setup()
  const response = await call('POST', `/v1/tasks/${id}/tickets`)
  expect(response.status).toBe(201)
  const { ticket, url } = streamTicketSchema.parse(await response.json())
  const other = await createTask()
  const read = async (path: string) => (await call('GET', path, { key: null })).status
  expect(await read(url)).toBe(200)
  expect(await read(`/v1/tasks/${other.id}/events?ticket=${ticket}`)).toBe(401)
  expect(await read(`/v1/tasks/${id}?ticket=${ticket}`)).toBe(401)
  expect(await read(`/v1/tasks/${id}/events?ticket=${ticket}x`)).toBe(401)
  clock.advance(ticketLifeMs)
  expect(await read(url)).toBe(401)
})

test('a ticket has the rights of its key when it is used', async () => {
  const { call, id, makeKey, stores, clock } = await setup()
  const { key, row } = await makeKey()
  const { url } = await (await call('POST', `/v1/tasks/${id}/tickets`, { key })).json<{ url: string }>()
  await stores.keys.revoke(row.id, anActor(), clock.now())
  clock.advance(5_000)
  const response = await call('GET', url, { key: null })
  expect([response.status, (await response.json<Problem>()).code]).toEqual([401, 'KEY_REVOKED'])
})

/** The Last-Event-ID that EventSource keeps of a text: the last `id` of a block that is whole. */
const lastIdOf = (text: string): string => [...text.matchAll(/^id: (.*)$/gm)].at(-1)?.[1] ?? ''

test('EventSource with a ticket goes on after the ticket has expired, with no code of the page, until its key ends', async () => {
  const { call, id, events, logs, finish, makeKey, stores, clock } = await setup()
  const { key, row } = await makeKey()
  const { url } = await (await call('POST', `/v1/tasks/${id}/tickets`, { key })).json<z.infer<typeof streamTicketSchema>>()
  const open = (last: string) => call('GET', url, { key: null, headers: { ...sse, ...(last && { 'last-event-id': last }) } })

  // A cut before any event: the stream began with `stream.start`, which has an id.
  let chunks = chunksOf(await open(''))
  let last = lastIdOf((await chunks.next())!)
  expect(last).toMatch(/^0\.[\w-]{22}$/)
  await chunks.cancel()

  const seqs: number[] = []
  for (const cutAfterMs of [5_000, 70_000, 11 * 60_000]) {
    clock.advance(cutAfterMs)
    const response = await open(last)
    expect(response.status).toBe(200)
    expect(response.headers.get('access-control-allow-origin')).toBe('*')
    logs.append(id, 'output', { stream: 'stdout', text: `after ${cutAfterMs} ms` })
    chunks = chunksOf(response)
    await chunks.next()
    const text = (await chunks.next())!
    seqs.push(...parseSse(text).map(({ data }) => (JSON.parse(data) as { seq: number }).seq))
    last = lastIdOf(text)
    await chunks.cancel()
  }
  expect(seqs).toEqual([1, 2, 3, 4, 5, 6])

  // Who did not read from the stream of this ticket cannot come back with it, and pages are for the first minute only.
  const other = await (await call('POST', `/v1/tasks/${id}/tickets`, { key })).json<z.infer<typeof streamTicketSchema>>()
  const proofOfOther = lastIdOf((await chunksOf(await call('GET', other.url, { key: null, headers: sse })).next())!)
  for (const wrong of ['', '6', proofOfOther, `6.${'x'.repeat(22)}`]) expect((await open(wrong)).status).toBe(401)
  await finish(id)
  expect(parseSse(await (await open(last)).text()).map(({ event }) => event)).toEqual(['stream.start', 'task.finished', 'stream.end'])
  expect((await open(`7.${last.split('.')[1]}`)).status).toBe(204)

  await stores.keys.revoke(row.id, anActor(), clock.now())
  clock.advance(5_000)
  expect((await open(last)).status).toBe(401)
  expect((await call('GET', events, { headers: { ...sse, 'last-event-id': '3.' } })).status).toBe(400)
})

test('pages of another origin may come back with a ticket by fetch, and read why it is refused', async () => {
  const { call, id, events } = await setup()
  const { url } = await (await call('POST', `/v1/tasks/${id}/tickets`)).json<z.infer<typeof streamTicketSchema>>()
  const origin = (response: Response) => response.headers.get('access-control-allow-origin')
  // Last-Event-ID is a header for which browsers ask first, except EventSource's own.
  const asking = { 'access-control-request-method': 'GET', 'access-control-request-headers': 'last-event-id' }
  const asked = await call('OPTIONS', url, { key: null, headers: asking })
  expect([asked.status, origin(asked), asked.headers.get('access-control-allow-headers')]).toEqual([204, '*', 'last-event-id'])
  const refused = await call('GET', `${url}x`, { key: null, headers: sse })
  expect([refused.status, origin(refused)]).toEqual([401, '*'])

  // A key is for no page of another origin.
  expect(origin(await call('GET', events))).toBeNull()
  expect(origin(await call('GET', url))).toBeNull()
  const other = await call('OPTIONS', events, { key: null, headers: asking })
  expect([other.status, origin(other)]).toEqual([405, null])
})

test('a stream whose key is revoked ends and says so', async () => {
  const streamLimits = { heartbeatMs: 5, rotateMs: 600_000, drainMs: 30_000, recheckMs: 10 }
  const { call, events, makeKey, stores, clock } = await setup({ streamLimits })
  const { key, row } = await makeKey()
  const chunks = chunksOf(await call('GET', `${events}?after=3`, { key, headers: sse }))
  await chunks.next()
  await stores.keys.revoke(row.id, anActor(), clock.now())
  clock.advance(5_000)
  expect(parseSse(await chunks.rest())).toMatchObject([{ event: 'stream.end', data: '{"reason":"unauthorized"}' }])
})

test('what breaks inside a stream is logged, not told', async () => {
  const { call, events, logs, logged } = await setup()
  logs.follow = async function* () {
    yield [{ seq: 1, type: 'task.queued', json: '{}' }]
    throw new Error('a secret of ours')
  }
  const text = await (await call('GET', events, { headers: sse })).text()
  expect(parseSse(text).at(-1)).toMatchObject({ event: 'stream.end', data: '{"reason":"error"}' })
  expect(text).not.toContain('secret')
  expect(logged).toMatchObject([{ level: 'error', phrase: 'event stream failed', fields: { error: 'Error: a secret of ours' } }])
})
