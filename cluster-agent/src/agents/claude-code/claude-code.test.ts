// How the events of a chunk become units for the log. parser.test.ts tests the parser, the live test the real binary.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Cursor } from '@rdev/shared/domain/attempt'
import { startCursor } from '@rdev/shared/domain/attempt'
import { maxBatchEvents } from '@rdev/shared/wire/limits'
import type { Attempt, Chunk, NewEvent } from '../../ports.ts'
import { aPod } from '../testing/a-pod.ts'
import { createClaudeCode } from './claude-code.ts'

const fixtures = join(import.meta.dirname, '../fixtures')
const recordings = readdirSync(fixtures, { recursive: true, encoding: 'utf8' }).filter((file) => /claude-.*\.stdout\.jsonl$/.test(file))

type Told = { readonly events: readonly NewEvent[]; readonly cursor: Cursor } | { readonly delta: unknown }

/** What the code agent emits for recorded bytes, read from `cursor` on in chunks of that size. */
async function setup(
  bytes: Buffer,
  { cursor = startCursor, chunk = 64 * 1024, stderr = '' }: { cursor?: Cursor; chunk?: number; stderr?: string } = {},
) {
  const told: Told[] = []
  async function* output(): AsyncGenerator<Chunk> {
    const errors = Buffer.from(stderr).subarray(cursor.stderr)
    if (errors.length > 0) yield { stream: 'stderr', offset: cursor.stderr, bytes: errors }
    for (let at = cursor.stdout; at < bytes.length; at += chunk)
      yield { stream: 'stdout', offset: at, bytes: bytes.subarray(at, Math.min(bytes.length, at + chunk)) }
  }
  const attempt: Partial<Attempt> = {
    pod: aPod,
    cursor,
    process: () => Promise.resolve(),
    output,
    exited: () =>
      Promise.resolve({
        exit_code: 0,
        reason: 'exited',
        stdout_bytes: bytes.length,
        stderr_bytes: stderr.length,
        started_at: 0,
        ended_at: 1,
      }),
    stop: () => Promise.resolve(),
    // Encoded and decoded, as the next agent gets it.
    emit: async (events, at) => void told.push({ events, cursor: JSON.parse(JSON.stringify(at)) as Cursor }),
    delta: (delta) => void told.push({ delta }),
    now: () => 1_700_000_000_000,
  }
  const agent = createClaudeCode({ run: () => Promise.reject(new Error('not asked')) })
  const result = await agent.execute({ provider: 'claude-code', prompt: 'the prompt', timeout_s: 60, deltas: true }, attempt as Attempt)
  const units = told.filter((each) => 'events' in each)
  return { told, units, result, events: units.flatMap((unit) => unit.events) }
}
const lines = (...messages: readonly object[]) => Buffer.from(messages.map((message) => `${JSON.stringify(message)}\n`).join(''))
const says = (...texts: readonly string[]) => ({ type: 'assistant', message: { content: texts.map((text) => ({ type: 'text', text })) } })

test.each(recordings)('%s: going on from any emitted cursor gives exactly the events that were missing', async (file) => {
  const bytes = readFileSync(join(fixtures, file))
  for (const chunk of [1, 1000, 1 << 20]) {
    const whole = await setup(bytes, { chunk })
    let count = 0
    for (const { events, cursor } of whole.units) {
      count += events.length
      const resumed = await setup(bytes, { cursor, chunk: 777 })
      expect(resumed.events).toEqual(whole.events.slice(count))
      expect(resumed.result).toEqual(whole.result)
    }
  }
})

test('the events of a chunk are emitted together, in units that fit a frame and end after a line', async () => {
  const bytes = lines(...Array.from({ length: 100 }, (_, i) => says(`a${i}`, `b${i}`, `c${i}`)))
  const { units, events } = await setup(bytes, { chunk: bytes.length })
  const whole = Math.floor(maxBatchEvents / 3) * 3
  expect(units.map((unit) => unit.events.length)).toEqual([...Array.from({ length: Math.floor(300 / whole) }, () => whole), 300 % whole])
  expect(events.map(({ data }) => data.text)).toEqual(Array.from({ length: 100 }, (_, i) => [`a${i}`, `b${i}`, `c${i}`]).flat())
  for (const { cursor } of units) expect(bytes[cursor.stdout - 1]).toBe(0x0a)
})

test('long lines are emitted in units of few lines', async () => {
  const { units } = await setup(lines(...Array.from({ length: 8 }, () => says('x'.repeat(60_000)))), { chunk: 1 << 20 })
  expect(units.map((unit) => unit.events.length)).toEqual([2, 2, 2, 2])
})

test('a delta of a message comes after the events before it', async () => {
  const piece = { type: 'stream_event', event: { delta: { type: 'text_delta', text: 'sec' } } }
  const { told } = await setup(lines(says('first'), piece, says('second')))
  expect(told.map((each) => ('delta' in each ? each.delta : each.events[0]!.data.text))).toEqual([
    'first',
    { kind: 'text', text: 'sec' },
    'second',
  ])
})

test('one cursor has the position of both streams', async () => {
  const bytes = lines(says('one'), says('two'))
  const whole = await setup(bytes, { stderr: 'a warning\n', chunk: 10 })
  expect(whole.events.map(({ type }) => type)).toEqual(['output', 'message.assistant', 'message.assistant'])
  const resumed = await setup(bytes, { stderr: 'a warning\n', cursor: whole.units[1]!.cursor })
  expect(resumed.events).toEqual(whole.events.slice(2))
})
