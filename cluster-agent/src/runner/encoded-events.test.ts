import { expect, test } from 'vitest'
import { startCursor } from '@rdev/shared/domain/attempt'
import { maxEventBytes, maxLineBytes } from '@rdev/shared/domain/limits'
import type { Assignment, Cursor } from '@rdev/shared/domain/attempt'
import type { EventData } from '@rdev/shared/domain/event'
import { joinData } from '@rdev/shared/domain/event-parts'
import type { EncodedEvent, NewEvent } from '../ports.ts'
import { assignment } from '../testing/setup.ts'
import { AttemptView, type ViewOwner } from './attempt-view.ts'
import { encodeEvents, maxPartBytes, maxPartEvents, openCursor, partsOf } from './encoded-events.ts'

const event = (name: string, bytes = 10): EncodedEvent => ({ json: name, bytes })
const many = (count: number, bytes = 10) => Array.from({ length: count }, (_, i) => event(`e${i}`, bytes))
const after = { stdout: 9, stderr: 0, state: { x: 1 } }

test('events that fit into one part are sent as they are, with their own cursor', () => {
  const events = many(3)
  expect(partsOf(events, startCursor, after, 0)).toEqual([{ events, cursor: after }])
})

test('too many or too large events are sent in parts that say how many of them are stored', () => {
  for (const [events, parts] of [
    [many(maxPartEvents * 2 + 1), 3],
    [many(4, maxPartBytes - 1), 4],
  ] as const) {
    const found = partsOf(events, { stdout: 4, stderr: 1, state: 'before' }, after, 0)
    expect(found).toHaveLength(parts)
    expect(found.flatMap((part) => part.events)).toEqual(events)
    expect(found.at(-1)!.cursor).toEqual(after)
    let count = 0
    for (const part of found.slice(0, -1)) {
      count += part.events.length
      // Over the wire and back.
      const stored = JSON.parse(JSON.stringify(part.cursor)) as typeof part.cursor
      expect(openCursor(stored)).toEqual({ cursor: { stdout: 4, stderr: 1, state: 'before' }, stored: count })
    }
  }
})

test('a cursor without parts is not changed', () => {
  expect(openCursor(after)).toEqual({ cursor: after, stored: 0 })
})

test('a code agent that emits the same events again from a part’s cursor adds exactly those that were missing', async () => {
  const log: { json: string; cursor: typeof after }[] = []
  const told = Array.from({ length: maxPartEvents * 2 + 7 }, (_, i) => ({ type: 'output', data: { i } }) as const)
  const owner = (take: number) =>
    ({
      active: () => {},
      now: () => 0,
      emit: (events: readonly EncodedEvent[], cursor: typeof after) => {
        if (take-- > 0) log.push(...events.map(({ json }) => ({ json, cursor })))
        return Promise.resolve()
      },
    }) as unknown as ViewOwner
  const facts = { name: 'n', assignment: { ...assignment(), token: '' } satisfies Assignment, pod: {} as never }
  await new AttemptView(owner(1), facts, { received: 0, cursor: startCursor }).emit(told, after)
  expect(log).toHaveLength(maxPartEvents)
  // The first agent died after one part. The next one begins at the cursor that the log holds.
  for (let life = 0; life < 5 && log.length < told.length; life++) {
    const view = new AttemptView(owner(1), facts, { received: log.length, cursor: log.at(-1)!.cursor })
    expect(view.cursor).toEqual(startCursor)
    await view.emit(told, after)
  }
  expect(log.map(({ json }) => (JSON.parse(json) as { data: { i: number } }).data.i)).toEqual(told.map((_, i) => i))
  expect(log.at(-1)!.cursor).toEqual(after)
})

const time = '2026-01-01T00:00:00.000Z'
/** Every event as a line of a stream, and its data as the agent meant it. */
function told(event: NewEvent) {
  const encoded = encodeEvents(event, time)
  for (const { json, bytes } of encoded) {
    expect(bytes).toBe(Buffer.byteLength(json))
    expect(bytes).toBeLessThan(maxLineBytes - 200)
  }
  const lines = encoded.map(({ json }) => JSON.parse(json) as { type: string; data: EventData })
  expect(new Set(lines.map(({ type }) => type))).toEqual(new Set([event.type]))
  return { lines, data: joinData(lines.map(({ data }) => data)) }
}

test('an event that is too long for one line is told in several, which join to the whole', () => {
  const data = { tool_id: 't', name: 'Write', input: { file_path: 'a', content: 'é"\n'.repeat(40_000) } }
  const { lines, data: joined } = told({ type: 'tool.started', data })
  expect(lines.length).toBeGreaterThan(2)
  expect(joined).toEqual(data)
})

test('an event above its limit is cut, says by how much, and keeps its small fields', () => {
  const { data } = told({
    type: 'tool.finished',
    data: { tool_id: 't', output: 'é"\n'.repeat(200_000), list: [{ deep: 'x'.repeat(100) }] },
  })
  expect(Buffer.byteLength(JSON.stringify(data))).toBeLessThanOrEqual(maxEventBytes)
  expect(data).toMatchObject({ tool_id: 't', truncated: true, list: [{ deep: 'x'.repeat(100) }] })
  expect(data['output']).toMatch(/… \[\d+ bytes cut\]$/)
})

test('an event of very many small values is kept as the beginning of its JSON', () => {
  const { data } = told({ type: 'provider.raw', data: { list: Array.from({ length: 100_000 }, (_, i) => i) } })
  expect(data).toMatchObject({ truncated: true, bytes: expect.any(Number) })
})

test('an agent that goes on in the middle of an event’s parts adds exactly those that were missing', async () => {
  const events: NewEvent[] = Array.from({ length: 4 }, (_, i) => ({
    type: 'tool.finished',
    data: { tool_id: `t${i}`, output: 'x'.repeat(250_000) },
  }))
  const log: { json: string; cursor: Cursor }[] = []
  const owner = (take: number) =>
    ({
      active: () => {},
      now: () => 0,
      emit: (events: readonly EncodedEvent[], cursor: Cursor) => {
        if (take-- > 0) log.push(...events.map(({ json }) => ({ json, cursor })))
        return Promise.resolve()
      },
    }) as unknown as ViewOwner
  const facts = { name: 'n', assignment: { ...assignment(), token: '' } satisfies Assignment, pod: {} as never }
  await new AttemptView(owner(1), facts, { received: 0, cursor: startCursor }).emit(events, after)
  expect(log.length % 5).not.toBe(0)
  for (let life = 0; life < 5 && log.at(-1)!.cursor !== after; life++) {
    await new AttemptView(owner(1), facts, { received: log.length, cursor: log.at(-1)!.cursor }).emit(events, after)
  }
  expect(log.map(({ json }) => json)).toEqual(
    events.flatMap((event) => encodeEvents(event, new Date(0).toISOString())).map(({ json }) => json),
  )
})
