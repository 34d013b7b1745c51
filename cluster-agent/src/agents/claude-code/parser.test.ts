import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { ExitRecord } from '@rdev/shared/domain/attempt'
import type { NewEvent } from '../../ports.ts'
import { parseLine, parseWords } from './parser.ts'
import { claudeResult } from './result.ts'
import { claudeStart, readClaudeState, type ClaudeState } from './state.ts'
import { LineReader, maxLineBytes, type Line } from '../lines.ts'

const fixtures = join(import.meta.dirname, '../fixtures')
const recordings = readdirSync(fixtures)
  .filter((name) => name.startsWith('claude-'))
  .flatMap((version) => readdirSync(join(fixtures, version)).map((file) => join(version, file)))
  .filter((file) => file.endsWith('.stdout.jsonl'))
const read = (file: string) => readFileSync(join(fixtures, file))

const context = { prompt: 'the prompt', now: 1_700_000_000_000 }
const exit = (exit_code: number, reason: ExitRecord['reason'] = 'exited'): ExitRecord => ({
  exit_code,
  reason,
  stdout_bytes: 0,
  stderr_bytes: 0,
  started_at: 0,
  ended_at: 1,
})

interface Told {
  readonly events: readonly NewEvent[]
  readonly state: ClaudeState
  /** The end of each line and the state there. */
  readonly boundaries: readonly { end: number; state: ClaudeState; told: number }[]
}

/** Parses `bytes` from `from` on, with the state that was stored there. */
function setup(bytes: Buffer, from = 0, state: ClaudeState = claudeStart, chunk = 1000): Told {
  const reader = new LineReader(from)
  const events: NewEvent[] = []
  const boundaries: { end: number; state: ClaudeState; told: number }[] = []
  const take = (lines: Iterable<Line>) => {
    for (const line of lines) {
      const step = parseLine(state, line, context)
      state = step.state
      events.push(...step.events)
      boundaries.push({ end: line.end, state, told: events.length })
    }
  }
  for (let at = from; at < bytes.length; at += chunk) take(reader.push(at, bytes.subarray(at, at + chunk)))
  take(reader.rest())
  return { events, state, boundaries }
}
const lines = (...messages: readonly unknown[]) =>
  Buffer.from(messages.map((message) => `${typeof message === 'string' ? message : JSON.stringify(message)}\n`).join(''))
/** The state as the log returns it. */
const stored = (state: ClaudeState): unknown => JSON.parse(JSON.stringify(state))
const typesOf = (events: readonly NewEvent[]) => events.map((event) => event.type)

test.each(recordings)('%s: going on from any line boundary gives exactly the events that were missing', (file) => {
  const bytes = read(file)
  const whole = setup(bytes)
  expect(whole.events.length).toBeGreaterThan(0)
  for (const { end, state, told } of [{ end: 0, state: claudeStart, told: 0 }, ...whole.boundaries]) {
    const resumed = setup(bytes, end, readClaudeState(stored(state)))
    expect(resumed.events).toEqual(whole.events.slice(told))
    expect(stored(resumed.state)).toEqual(stored(whole.state))
  }
})

test.each([1, 7, 64, 100_000])('chunks of %i bytes make no difference', (chunk) => {
  for (const file of recordings) expect(setup(read(file), 0, claudeStart, chunk).events).toEqual(setup(read(file)).events)
})

test.each(recordings)('%s: every recorded line has an event type of its own', (file) => {
  // Of work in the background the model's own words tell; the lines about it are kept as they are.
  const kept = (event: NewEvent) => /^system\/(?:task_|background_tasks_)/.test(String(event.data.type))
  const odd = setup(read(file)).events.filter((event) => event.type === 'provider.raw' || event.type === 'output')
  expect(odd.filter((event) => !kept(event))).toEqual([])
})

const recorded = (name: string) => setup(read(recordings.find((file) => file.endsWith(`/${name}.stdout.jsonl`))!))

test('a recorded run with tools gives the events of a conversation', () => {
  const { events, state } = recorded('tools')
  expect(typesOf(events)).toEqual([
    'agent.started',
    'message.user',
    ...Array.from({ length: 5 }, () => ['message.assistant', 'tool.started', 'tool.finished']).flat(),
    'message.assistant',
    'usage',
  ])
  expect(events[0]!.data).toMatchObject({
    provider: 'claude-code',
    working_dir: '/home/agent/workspace',
    tools: expect.arrayContaining(['Bash']),
  })
  expect(events[1]!.data).toEqual({ text: 'the prompt' })
  expect(events[3]!.data).toMatchObject({ name: 'Bash', input: { command: expect.stringContaining('npm test') } })
  expect(events[4]!.data).toMatchObject({ is_error: false, duration_ms: expect.any(Number), output: expect.stringContaining('fail 1') })
  const result = claudeResult(state, exit(0))
  expect(result).toMatchObject({
    status: 'succeeded',
    turns: 6,
    result: expect.stringContaining('Fixed'),
    provider_session_id: expect.any(String),
  })
  expect(result.cost_usd).toBeGreaterThan(0)
  expect(result.usage!.input_tokens).toBeGreaterThan(0)
})

test('recorded failures have their codes', () => {
  const codeOf = (name: string) => claudeResult(recorded(name).state, exit(1)).error_code
  expect(codeOf('unauthorized')).toBe('AUTH_FAILED')
  expect(codeOf('no-key')).toBe('AUTH_FAILED')
  expect(codeOf('limited')).toBe('RATE_LIMITED')
  expect(codeOf('no-session')).toBe('SESSION_MISSING')
  expect(claudeResult(recorded('empty').state, exit(0)).error_code).toBe('EMPTY_RESULT')
  expect(claudeResult(recorded('limited').state, exit(1)).resets_at).toMatch(/^\d{4}-.*Z$/)
})

test('recorded runs with several results and with subagents have the tokens that the model scripted', () => {
  const usageOf = (name: string) => claudeResult(recorded(name).state, exit(0)).usage
  expect(usageOf('background')).toEqual({ input_tokens: 303, output_tokens: 33, cache_read_tokens: 6000, cache_write_tokens: 3000 })
  // Three answers for the prompt and the end of the subagent, and two of its own.
  expect(usageOf('subagent')).toMatchObject({ input_tokens: 504, output_tokens: 54 })
  expect(usageOf('background-subagent')).toMatchObject({ input_tokens: 504, output_tokens: 54 })
  expect(claudeResult(recorded('refused').state, exit(130, 'stopped'))).toMatchObject({ error_code: 'AUTH_FAILED' })
  expect(claudeResult(recorded('limited-later').state, exit(1))).toMatchObject({ error_code: 'RATE_LIMITED', resets_at: undefined })
})

test('a denied permission is in the log as a question and an answer', () => {
  const { events } = recorded('denied')
  expect(typesOf(events)).toEqual(expect.arrayContaining(['approval.requested', 'approval.resolved', 'tool.finished']))
})

test('unknown types are kept with a bounded size, and lines that are not JSON are output', () => {
  const { events } = setup(lines({ type: 'something_new', blob: 'x'.repeat(100_000) }, '{"type":"assistant", broken', '[1,2]', ''))
  expect(typesOf(events)).toEqual(['provider.raw', 'output', 'output'])
  expect(JSON.stringify(events[0]).length).toBeLessThan(20_000)
  expect(events[1]!.data).toEqual({ stream: 'stdout', text: '{"type":"assistant", broken\n' })
})

test('a line of many megabytes takes bounded memory, and the lines after it are parsed', () => {
  const huge = { type: 'user', message: { content: [{ type: 'tool_result', tool_use_id: 't', content: 'x'.repeat(3 * maxLineBytes) }] } }
  const { events } = setup(
    lines(huge, { type: 'assistant', message: { content: [{ type: 'text', text: 'after' }] } }),
    0,
    claudeStart,
    65_536,
  )
  expect(typesOf(events)).toEqual(['provider.raw', 'message.assistant'])
  expect(events[0]!.data).toMatchObject({ data: { removed: expect.any(Number) } })
})

test('a result of many megabytes is recognised as the result', () => {
  const result = { duration_ms: 1, total_cost_usd: 0.5, usage: { input_tokens: 3, output_tokens: 4 }, is_error: false, num_turns: 2 }
  const bytes = lines({ ...result, subtype: 'success', result: 'é\n"'.repeat(maxLineBytes / 4), type: 'result', session_id: 's' })
  const { state } = setup(bytes, 0, claudeStart, 65_536)
  expect(claudeResult(state, exit(0))).toMatchObject({
    status: 'succeeded',
    cost_usd: 0.5,
    turns: 2,
    usage: { input_tokens: 3, output_tokens: 4 },
    result: expect.stringMatching(/^(é\n"){1000,}[^]*bytes removed/),
  })
})

test('a long text is cut with a marker, and fits an event', () => {
  const { events } = setup(lines({ type: 'assistant', message: { content: [{ type: 'text', text: '"é\u0001'.repeat(500_000) }] } }))
  expect(Buffer.byteLength(JSON.stringify(events[0]))).toBeLessThan(256 * 1024)
  expect(events[0]!.data.text).toMatch(/… \[\d+ bytes removed\]$/)
})

test('the exit record decides over the output', () => {
  const done = recorded('plain').state
  expect(claudeResult(done, exit(130, 'cancelled'))).toMatchObject({ status: 'cancelled', error_code: 'CANCELLED' })
  expect(claudeResult(done, exit(143, 'timeout'))).toMatchObject({ status: 'timed_out', error_code: 'TIMEOUT' })
  expect(claudeResult(done, exit(143, 'stopped'))).toMatchObject({ status: 'succeeded' })
  expect(claudeResult(done, exit(1))).toMatchObject({ status: 'failed', error_code: 'AGENT_ERROR' })
  expect(claudeResult(done, exit(137, 'supervisor_died'))).toMatchObject({ status: 'failed', error_code: 'LOST' })
})

test('without a result the error comes from the text on either stream', () => {
  const said = (stream: 'stdout' | 'stderr', words: string) => parseWords(claudeStart, stream, words).state
  expect(claudeResult(said('stdout', 'Invalid API key · Please run /login'), exit(1)).error_code).toBe('AUTH_FAILED')
  expect(claudeResult(said('stderr', 'OAuth token has expired'), exit(1)).error_code).toBe('AUTH_FAILED')
  expect(claudeResult(said('stdout', 'Claude AI usage limit reached|1700003600'), exit(1))).toMatchObject({
    error_code: 'RATE_LIMITED',
    resets_at: '2023-11-14T23:13:20.000Z',
  })
  expect(claudeResult(said('stderr', 'sh: 1: exec: claude: not found'), exit(127)).error_code).toBe('BINARY_MISSING')
  expect(claudeResult(said('stderr', 'boom'), exit(1))).toMatchObject({ error_code: 'AGENT_ERROR', error: 'boom' })
  expect(claudeResult(claudeStart, exit(0)).error_code).toBe('EMPTY_RESULT')
})
