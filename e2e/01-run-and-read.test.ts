import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TaskEvent } from '@rdev/shared/domain/event'
import { maxLineBytes } from '@rdev/shared/domain/limits'
import { fixesTheFailingTest, openCodeAnswers } from './scenarios.ts'
import { collect, isWhole, outputOf } from './setup.ts'
import type { Bundle } from './setup.ts'
import { leaveShared, sharedStack } from './shared.ts'

let stack: Bundle
beforeAll(async () => {
  stack = await sharedStack()
})
afterAll(() => leaveShared(stack))

test('a real Claude Code task fixes the failing test and streams to its end', () => fixesTheFailingTest(stack))

test('a real OpenCode task answers', () => openCodeAnswers(stack))

test('JSON pages, SSE and NDJSON give identical events, and every seq resumes with exactly the rest', async () => {
  const { task, events } = await stack.run({
    kind: 'shell',
    project_id: 'demo',
    command: 'for i in 1 2 3 4 5; do echo "line $i"; sleep 0.12; done; echo oops >&2',
  })
  expect(isWhole(events)).toBe(true)

  const pages: TaskEvent[] = []
  for (let after = 0, finished = false; !finished;) {
    const page = await stack.client.json<{ data: TaskEvent[]; next_after: number; finished: boolean }>(
      'GET',
      `/v1/tasks/${task.id}/events?after=${after}&limit=2`,
    )
    expect(page.data.length).toBeLessThanOrEqual(2)
    pages.push(...page.data)
    after = page.next_after
    finished = page.finished
  }
  expect(pages).toEqual(events)

  for (let after = 0; after <= events.length; after++) {
    const rest = events.slice(after)
    const ndjson = await stack.client.fetch('GET', `/v1/tasks/${task.id}/events?after=${after}`, {
      headers: { accept: 'application/x-ndjson' },
    })
    const lines = (await ndjson.text()).split('\n').filter(Boolean)
    expect(lines.map((line) => JSON.parse(line) as TaskEvent)).toEqual(rest)
    expect(await collect(stack.client.events(task.id, { after }))).toEqual(rest)
    const page = await stack.client.json<{ data: TaskEvent[] }>('GET', `/v1/tasks/${task.id}/events?after=${after}`)
    expect(page.data).toEqual(rest)
  }
  const end = await stack.client.fetch('GET', `/v1/tasks/${task.id}/events`, {
    headers: { accept: 'text/event-stream', 'last-event-id': String(events.length) },
  })
  expect(end.status).toBe(204)
})

test('a line of 200 kB that JSON makes six times as long reaches readers whole, in lines that they can take', async () => {
  const { task, events } = await stack.run({
    kind: 'shell',
    project_id: 'demo',
    command: `head -c 200000 /dev/zero | tr '\\0' '\\033'; head -c 100000 /dev/zero | tr '\\0' 'x'; echo`,
  })
  const text = `${'\u001b'.repeat(200_000)}${'x'.repeat(100_000)}\n`
  expect(isWhole(events)).toBe(true)
  expect(outputOf(events)).toBe(text)
  expect(events.some(({ data }) => Number(data['parts']) > 1)).toBe(true)
  for (const accept of ['text/event-stream', 'application/x-ndjson']) {
    const response = await stack.client.fetch('GET', `/v1/tasks/${task.id}/events`, { headers: { accept } })
    const lines = (await response.text()).split('\n')
    expect(Math.max(...lines.map((line) => Buffer.byteLength(line)))).toBeLessThanOrEqual(maxLineBytes)
  }
})

test('a browser reads the stream with a ticket instead of a header', async () => {
  const { task, events } = await stack.run({ kind: 'shell', project_id: 'demo', command: 'echo hello' })
  const { url } = await stack.client.json<{ url: string }>('POST', `/v1/tasks/${task.id}/tickets`)
  const response = await fetch(new URL(url, stack.url), { headers: { accept: 'text/event-stream' } })
  expect(response.status).toBe(200)
  const ids = [...(await response.text()).matchAll(/^id: (\d+)\.([\w-]{22})$/gm)]
  expect(ids.map(([, seq]) => Number(seq))).toEqual([0, ...events.map((event) => event.seq)])

  // EventSource comes back with the last id, and learns that nothing follows.
  const last = `${ids.at(-1)?.[1]}.${ids.at(-1)?.[2]}`
  const again = await fetch(new URL(url, stack.url), { headers: { accept: 'text/event-stream', 'last-event-id': last } })
  expect(again.status).toBe(204)
})

test('twenty tasks at once all end, each with its own whole log', async () => {
  const runs = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      stack.run({ kind: 'shell', project_id: 'demo', workspace: null, target: i % 2 ? 'pool' : 'project', command: `echo task ${i}` }),
    ),
  )
  for (const [i, { task, events }] of runs.entries()) {
    expect(task.status).toBe('succeeded')
    expect(isWhole(events)).toBe(true)
    expect(outputOf(events)).toBe(`task ${i}\n`)
  }
})
