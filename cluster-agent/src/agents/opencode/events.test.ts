import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { NewEvent } from '../../ports.ts'
import { isJson, json, list, text, type Json } from '../json.ts'
import { ofMessages, onEvent } from './events.ts'
import { rulesOf } from './policy.ts'
import { openCodeResult } from './result.ts'
import { openCodeStart, readOpenCodeState, type OpenCodeState } from './state.ts'
import type { Effect } from './step.ts'

const fixtures = join(import.meta.dirname, '../fixtures')
const recordings = readdirSync(fixtures)
  .filter((name) => name.startsWith('opencode-'))
  .flatMap((version) => readdirSync(join(fixtures, version)).map((file) => join(version, file)))
  .filter((file) => file.endsWith('.events.jsonl'))
  .map((file) => file.slice(0, -'.events.jsonl'.length))

const context = { rules: rulesOf({}), now: 1_700_000_000_000, maxRetryWaitMs: 60_000, maxRetries: 10 }
const stopped = { exit_code: 143, reason: 'stopped', stdout_bytes: 0, stderr_bytes: 0, started_at: 0, ended_at: 1 } as const

/** Feeds events and lists to the pure function, as the run does. */
class Machine {
  state: OpenCodeState
  readonly events: NewEvent[] = []
  readonly effects: Effect[] = []
  constructor(state: OpenCodeState) {
    this.state = state
  }
  stream(told: readonly Json[]): this {
    for (const event of told) this.#take(onEvent(this.state, event, context))
    return this
  }
  reconcile(messages: readonly Json[]): this {
    for (const step of ofMessages(messages)) this.#take(step(this.state, context))
    return this
  }
  /** What the log returns after a restart. */
  restart(): this {
    this.state = readOpenCodeState(JSON.parse(JSON.stringify(this.state)))
    return this
  }
  #take(step: { state: OpenCodeState; events: readonly NewEvent[]; effects: readonly Effect[] }): void {
    this.state = step.state
    this.events.push(...step.events)
    this.effects.push(...step.effects)
  }
  get types(): readonly string[] {
    return this.events.map((event) => event.type)
  }
}

function setup(recording: string) {
  const lines = readFileSync(join(fixtures, `${recording}.events.jsonl`), 'utf8')
    .trim()
    .split('\n')
  const told: readonly Json[] = lines.map((line) => JSON.parse(line))
  const messages = list(JSON.parse(readFileSync(join(fixtures, `${recording}.messages.json`), 'utf8'))).filter(isJson)
  const { id, sessionID } = json(messages[0]?.info)
  const start = { ...openCodeStart, session: text(sessionID), message: text(id) }
  return { told, messages, start, machine: () => new Machine(start) }
}
const named = (name: string) => setup(recordings.find((recording) => recording.endsWith(`/${name}`))!)

/** Only the stream tells a retry; the list of messages does not have it. */
const kept = (events: readonly NewEvent[]) => events.filter(({ type }) => type !== 'error' && type !== 'limit.reached')

test.each(recordings)('%s: the list of messages adds nothing to the whole stream, and alone gives the same events', (recording) => {
  const { told, messages, machine } = setup(recording)
  const whole = machine().stream(told)
  const before = whole.events.length
  expect(whole.reconcile(messages).events).toHaveLength(before)
  expect(kept(machine().reconcile(messages).events)).toEqual(kept(whole.events))
})

test.each(recordings)('%s: cut and restarted at any event, every event is emitted once', (recording) => {
  const { told, messages, machine } = setup(recording)
  const whole = kept(machine().stream(told).events)
  for (let cut = 0; cut <= told.length; cut++) {
    const run = machine().stream(told.slice(0, cut)).restart().reconcile(messages).restart().stream(told.slice(cut))
    expect(kept(run.events)).toEqual(whole)
  }
})

test.each(recordings)('%s: every recorded event has a type of its own', (recording) => {
  expect(setup(recording).machine().stream(setup(recording).told).types).not.toContain('provider.raw')
})

test('a recorded run with tools gives the events of a conversation', () => {
  const { told, machine } = named('tools')
  const run = machine().stream(told)
  expect(run.types).toEqual([
    ...Array.from({ length: 5 }, () => ['message.assistant', 'tool.started', 'tool.finished', 'usage']).flat(),
    'message.assistant',
    'usage',
  ])
  expect(run.events[1]!.data).toMatchObject({ name: 'bash', input: { command: expect.stringContaining('npm test') } })
  expect(run.events[2]!.data).toMatchObject({ is_error: false, duration_ms: expect.any(Number), output: expect.stringContaining('fail 1') })
  expect(openCodeResult(run.state, stopped, '')).toMatchObject({ status: 'succeeded', turns: 6, result: expect.stringContaining('Fixed') })
})

test('recorded failures have their codes', () => {
  const result = (name: string) => openCodeResult(named(name).machine().stream(named(name).told).state, stopped, '')
  expect(result('unauthorized')).toMatchObject({ status: 'failed', error_code: 'AUTH_FAILED' })
  expect(result('limited')).toMatchObject({ status: 'failed', error_code: 'RATE_LIMITED', resets_at: expect.stringMatching(/Z$/) })
  expect(result('empty')).toMatchObject({ status: 'failed', error_code: 'EMPTY_RESULT' })
})

test('an error that only the list of messages has is emitted', () => {
  const { messages, machine } = named('unauthorized')
  const run = machine().reconcile(messages).reconcile(messages)
  expect(run.types).toEqual(['error'])
})

test('a long wait makes the run give up, a short one does not, and each is emitted once', () => {
  const { start } = named('plain')
  const retry = (attempt: number, inMs: number): Json => ({
    type: 'session.status',
    properties: { sessionID: start.session, status: { type: 'retry', attempt, message: 'Too many requests', next: context.now + inMs } },
  })
  const run = new Machine(start).stream([retry(1, 1000), retry(1, 1000), retry(2, 3000)])
  expect(run.types).toEqual(['limit.reached', 'limit.reached'])
  expect(run.effects).toEqual([])
  run.stream([retry(3, 600_000)])
  expect(run.effects).toEqual([{ type: 'give_up' }])
  expect(run.state.error).toMatchObject({ code: 'RATE_LIMITED', resets_at: new Date(context.now + 600_000).toISOString() })
})

test('a retry is told with the code of its reason', () => {
  const status = { type: 'retry', attempt: 1, message: 'invalid x-api-key', next: context.now + 1000 }
  const { start } = named('plain')
  const run = new Machine(start).stream([{ type: 'session.status', properties: { sessionID: start.session, status } }])
  expect(run.events).toMatchObject([{ type: 'error', data: { code: 'AUTH_FAILED' } }])
})

test('the rules answer a permission each time it is asked, also a subagent’s, and it is emitted once', () => {
  const asked = (id: string, permission: string): Json => ({
    type: 'permission.asked',
    properties: { id, sessionID: 'ses_another', permission, patterns: ['*'], always: [], metadata: {} },
  })
  const run = new Machine(named('plain').start).stream([asked('per_1', 'bash'), asked('per_1', 'bash'), asked('per_2', 'doom_loop')])
  expect(run.effects).toMatchObject([{ reply: 'once' }, { reply: 'once' }, { reply: 'reject' }])
  expect(run.types).toEqual(['approval.requested', 'approval.resolved', 'approval.requested', 'approval.resolved'])
  expect(run.events[3]!.data).toMatchObject({ decision: 'denied', by: 'policy' })
  run.restart().stream([asked('per_2', 'doom_loop'), asked('per_3', 'doom_loop')])
  expect(openCodeResult(run.state, stopped, '')).toMatchObject({ denied_tools: [{ name: 'doom_loop', count: 2 }] })
})

test('a part of an unknown kind is kept, and messages of other sessions are left out', () => {
  const { told, start } = named('plain')
  const assistant = told.find((event) => json(json(event.properties).info).role === 'assistant')!
  const messageID = json(json(assistant.properties).info).id
  const part = (sessionID: unknown): Json => ({
    type: 'message.part.updated',
    properties: { sessionID, part: { id: 'prt_x', messageID, sessionID, type: 'hologram' } },
  })
  const run = new Machine(start).stream([assistant, part('ses_another'), part(start.session)])
  expect(run.types).toEqual(['provider.raw'])
})
