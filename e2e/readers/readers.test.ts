// Public clients read a task, as their users write them: each must give every event once, through all that ends a connection.
import { writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, test } from 'vitest'
import type { ExpectStatic } from 'vitest'
import type { TaskEvent } from '@rdev/shared/domain/event'
import { pages } from '../chaos/judge.ts'
import { outputOf, teardown, withKey } from '../setup.ts'
import { goClients } from './go-clients.ts'
import { npmClients } from './npm-clients.ts'
import type { Message } from './reading.ts'
import { setup } from './setup.ts'
import type { Reader, Readers } from './setup.ts'

let stack: Readers
beforeAll(async () => {
  stack = await setup()
})
afterAll(() => teardown(stack))

const ofNpm = Object.keys(npmClients)
/** A ticket is for Server-Sent Events. */
const withTickets = [...ofNpm, ...goClients].filter((name) => !name.endsWith('NDJSON'))

const colours = Array.from({ length: 5_000 }, (_, i) => `\u001b[3${i % 8}mLine ${i}: grün ✓\u001b[0m\r`)
const ansi = '\u001b[1;32mgreen\u001b[0m\u0007 \u2028\n'
/** 200 kB. JSON makes the end six times as long, so that its events come in parts. */
const long = `${colours.join('')}${'\u001b'.repeat(60_000)}\n`

/** A task that says the next of these texts each time that it is told to go on. */
async function speaker(name: string, texts: readonly string[]) {
  const file = (i: number, what: string) => `${stack.dataDirectory}/${name}-${i}.${what}`
  await Promise.all(texts.map((text, i) => writeFile(file(i, 'text'), text)))
  const steps = texts.map((_, i) => `until [ -e ${file(i, 'go')} ]; do sleep 0.2; done; cat ${file(i, 'text')}`)
  const { id } = await stack.client.task({ kind: 'shell', project_id: 'demo', target: 'pool', command: steps.join('\n') })
  return { id, go: (i: number) => writeFile(file(i, 'go'), '') }
}

const parsed = ({ data }: Message) => JSON.parse(data) as TaskEvent
const says = (text: string) => (message: Message) => message.data.includes(text)
const isPlannedEnd = (message: Message) => message.data.includes('"reason":"rotate"')
const hasSeq = (message: Message) => parsed(message).seq !== undefined
/** What the client tells beside the data, if it tells anything, says the same. */
const isOther = (message: Message) => {
  const { seq, type } = parsed(message)
  return Number(message.id?.split('.')[0] ?? seq) !== seq || (message.type ?? type) !== type
}

async function readsEverythingOnce(expect: ExpectStatic, name: string, clients: readonly string[]): Promise<void> {
  const texts = [ansi, `${long}long-is-over\n`, 'after-silence\n', 'after-planned-end\n']
  const task = await speaker(name, texts)
  const withTicket = clients.filter((client) => withTickets.includes(client))
  const readers = (await Promise.all([stack.read(task.id, clients, 'key'), stack.read(task.id, withTicket, 'ticket')])).flat()
  const each = <Result>(visit: (reader: Reader, i: number) => Promise<Result>) => Promise.all(readers.map(visit))

  await task.go(0)
  await each((reader) => reader.until(says('green')))

  // Cut inside of a long text, each at other bytes.
  const cuts = each(async ({ proxy, until }, i) => {
    for (const bytes of [20_000, 70_000, 100_000])
      await Promise.race([proxy.cutAfter(bytes + i * 997, { direction: 'down' }), until(() => false)])
  })
  await task.go(1)
  await cuts
  await each((reader) => reader.until(says('long-is-over')))

  // Silence, until no ticket opens anything any more.
  const silentFrom = readers.map(({ proxy }) => proxy.counters.bytes.down)
  const expiry = Math.max(...readers.map(({ ticket }) => (ticket ? Date.parse(ticket.expires_at) : 0)))
  const poll = { timeout: 60_000 }
  await expect.poll(() => Date.now(), poll).toBeGreaterThan(expiry)
  for (const [i, { proxy }] of readers.entries())
    await expect.poll(() => proxy.counters.bytes.down - silentFrom[i]!, poll).toBeGreaterThan(30)
  for (const { ticket } of readers) if (ticket) expect((await fetch(stack.url + ticket.url)).status).toBe(401)

  for (const { proxy } of readers) proxy.cut({ how: 'end' })
  await task.go(2)
  await each((reader) => reader.until(says('after-silence')))
  await each((reader) => reader.until(isPlannedEnd, reader.messages.filter(isPlannedEnd).length + 1))
  await task.go(3)

  const whole = await stack.client.finished(task.id).then(() => pages(stack.client, task.id))
  expect(outputOf(whole)).toBe(texts.join(''))
  expect(whole.some(({ data }) => Number(data['parts']) > 1)).toBe(true)
  expect(await each(({ ended }) => ended)).toEqual(readers.map(() => 204))
  const got = (of: (reader: Reader) => unknown) => Object.fromEntries(readers.map((reader) => [reader.name, of(reader)]))
  expect(got(({ messages }) => messages.filter(({ data }) => data === ''))).toEqual(got(() => []))
  const events = (reader: Reader) => reader.messages.filter(hasSeq)
  expect(got((reader) => events(reader).map((message) => parsed(message).seq))).toEqual(got(() => whole.map(({ seq }) => seq)))
  for (const reader of readers) expect(events(reader).map(parsed), reader.name).toEqual(whole)
  expect(got((reader) => events(reader).filter(isOther))).toEqual(got(() => []))
}

test.concurrent('clients from npm get every event once, with a key and with a ticket', ({ expect }) =>
  readsEverythingOnce(expect, 'npm', ofNpm))

test.concurrent('clients in Go get every event once, with a key and with a ticket', ({ expect }) =>
  readsEverythingOnce(expect, 'go', goClients))

test.concurrent('revoking the key ends every reader', async ({ expect }) => {
  const { id, client } = await withKey(stack, { scopes: ['tasks:read'] })
  const task = await speaker('revoked', [ansi, 'never'])
  const readers = (
    await Promise.all([stack.read(task.id, [...ofNpm, ...goClients], 'key', client), stack.read(task.id, withTickets, 'ticket', client)])
  ).flat()
  await task.go(0)
  await Promise.all(readers.map((reader) => reader.until(says('green'))))
  await stack.client.json('POST', `/v1/keys/${id}/revoke`)
  expect(await Promise.all(readers.map(({ ended }) => ended))).toEqual(readers.map(() => 401))
  await stack.client.json('POST', `/v1/tasks/${task.id}/cancel`)
  await stack.client.finished(task.id)
})
