import { expect, test } from 'vitest'
import type { ExitRecord } from '@rdev/shared/domain/attempt'
import { maxResultTextBytes } from '@rdev/shared/domain/limits'
import type { AgentResult } from '@rdev/shared/domain/code-agent'
import { workspaceFailure } from '../workspaces/workspace.ts'
import type { Ending } from './outcome.ts'
import { outcomeOf } from './outcome.ts'

const record = (more: Partial<ExitRecord> = {}): ExitRecord => ({
  exit_code: 0,
  stdout_bytes: 1,
  stderr_bytes: 0,
  started_at: 100,
  ended_at: 350,
  reason: 'exited',
  ...more,
})
const good: AgentResult = { status: 'succeeded', result: 'done', cost_usd: 0.5, provider_session_id: 's' }
const bad: AgentResult = { status: 'failed', error_code: 'RATE_LIMITED', error: 'later' }
const end = (more: Partial<Ending>) =>
  outcomeOf({ kind: 'agent', result: good, record: record(), cause: undefined, givenUp: false, failOnDenied: false, ...more })

test('a run that succeeded keeps its result and its measured time', () => {
  expect(end({})).toMatchObject({
    status: 'succeeded',
    result: 'done',
    cost_usd: 0.5,
    provider_session_id: 's',
    duration_ms: 250,
    exit_code: 0,
    error_code: null,
  })
})

test('a rate limit has the time when it resets, if the provider told one', () => {
  const failed = record({ exit_code: 1 })
  expect(end({ result: { ...bad, resets_at: '2026-11-23T12:00:00.000Z' }, record: failed }).resets_at).toBe(Date.UTC(2026, 10, 23, 12))
  for (const resets_at of [undefined, 'soon', '1969-01-01T00:00:00.000Z']) {
    expect(end({ result: { ...bad, resets_at }, record: failed })).toMatchObject({ error_code: 'RATE_LIMITED', resets_at: null })
  }
  // A rate limit during the run that did not end it is not in the outcome.
  expect(end({ result: { ...good, resets_at: '2026-11-23T12:00:00.000Z' } }).resets_at).toBeNull()
})

test('a full disk is in the error, however the attempt ended', () => {
  const full = { disk_full: true }
  expect(end({ record: record(full) })).toMatchObject({ status: 'succeeded', error: expect.stringContaining('may be cut') })
  expect(end({ record: record({ ...full, reason: 'cancelled' }) })).toMatchObject({
    status: 'cancelled',
    error: expect.stringMatching(/^cancelled while it ran; .*may be cut$/),
  })
})

test.each([
  ['cancelled by the record', { record: record({ reason: 'cancelled', exit_code: 130 }) }, 'cancelled', 'CANCELLED'],
  ['cancelled in words only', { result: { status: 'cancelled' }, record: record({ reason: 'stopped' }) }, 'cancelled', 'CANCELLED'],
  ['ended by itself before the cancel', { cause: 'cancelled' }, 'succeeded', null],
  ['over its time', { record: record({ reason: 'timeout' }) }, 'timed_out', 'TIMEOUT'],
  ['silent', { record: record({ reason: 'timeout' }), cause: 'idle' }, 'timed_out', 'TIMEOUT'],
  ['stopped after its answer', { record: record({ reason: 'stopped', exit_code: 143 }) }, 'succeeded', null],
  ['stopped, and failed by its own words', { record: record({ reason: 'stopped' }), result: bad }, 'failed', 'RATE_LIMITED'],
  ['shut down before its answer', { record: record({ reason: 'stopped' }), result: bad, cause: 'shutdown' }, 'failed', 'POD_UNAVAILABLE'],
  ['shut down after its answer', { record: record({ reason: 'stopped' }), cause: 'shutdown' }, 'succeeded', null],
  ['orphaned', { record: record({ reason: 'orphaned' }) }, 'failed', 'STALE_WORKER'],
  ['without its supervisor', { record: record({ reason: 'supervisor_died' }) }, 'failed', 'LOST'],
  ['without its container', { record: record({ exit_code: -1, reason: 'container_gone' }) }, 'lost', 'LOST'],
  ['given up', { record: undefined, givenUp: true }, 'lost', 'LOST'],
  ['gone with its pod', { record: undefined, result: undefined }, 'lost', 'LOST'],
  ['without an answer', { result: undefined }, 'failed', 'INTERNAL'],
  ['empty', { result: { status: 'succeeded', result: ' \n' } }, 'failed', 'EMPTY_RESULT'],
  ['failed without a code', { result: { status: 'failed', error: 'x' } }, 'failed', 'AGENT_ERROR'],
  ['a command that failed', { kind: 'shell', result: { status: 'failed', exit_code: 3 } }, 'failed', null],
  ['a command without text', { kind: 'shell', result: { status: 'succeeded', exit_code: 0 } }, 'succeeded', null],
  ['a command that was stopped', { kind: 'git', record: record({ reason: 'stopped' }) }, 'failed', 'POD_UNAVAILABLE'],
  [
    'without its directory',
    { record: record({ exit_code: 78, stdout_bytes: 0, stderr_bytes: Buffer.byteLength(workspaceFailure) }) },
    'failed',
    'WORKSPACE_ERROR',
  ],
] as const)('%s', (_, more, status, error_code) => {
  expect(end(more as Partial<Ending>)).toMatchObject({ status, error_code })
})

test('the outcome has the exit code of a command, not that of a stopped server', () => {
  expect(end({ record: record({ reason: 'stopped', exit_code: 143 }) }).exit_code).toBeNull()
  expect(end({ kind: 'shell', record: record({ reason: 'timeout', exit_code: 143 }), result: undefined }).exit_code).toBe(143)
})

test('a huge answer is cut, and says so; a clock that jumped back gives no negative time', () => {
  const { result, duration_ms } = end({ result: { ...good, result: 'x'.repeat(maxResultTextBytes + 5) }, record: record({ ended_at: 0 }) })
  expect(result).toMatch(/x… \[|\n… \[5 bytes removed\]$/)
  expect(duration_ms).toBe(0)
})

test('a time limit tells what was still at work', () => {
  const result: AgentResult = { status: 'timed_out', result: 'interim', unfinished: '2 background tasks' }
  const error = 'the time limit was reached, with 2 background tasks still running'
  expect(end({ result, record: record({ reason: 'timeout' }) })).toMatchObject({ status: 'timed_out', error, result: 'interim' })
})

test('denied tools are in the outcome, and make it a failure where the task asked for that', () => {
  const denied_tools = [
    { name: 'Write', count: 2 },
    { name: 'Bash', count: 1 },
  ]
  const result: AgentResult = { ...good, denied_tools }
  expect(end({ result })).toMatchObject({ status: 'succeeded', denied_tools })
  expect(end({})).toMatchObject({ denied_tools: null })
  expect(end({ failOnDenied: true })).toMatchObject({ status: 'succeeded' })
  const failed = { status: 'failed', error_code: 'TOOL_DENIED', error: 'it was denied Write (2 times), Bash', result: 'done', denied_tools }
  expect(end({ result, failOnDenied: true })).toMatchObject(failed)
  expect(end({ result, failOnDenied: true, record: record({ reason: 'timeout' }) })).toMatchObject({ status: 'timed_out', denied_tools })
  const many = Array.from({ length: 100 }, (_, i) => ({ name: `${i}`.repeat(500), count: 1 }))
  expect(JSON.stringify(end({ result: { ...good, denied_tools: many } })).length).toBeLessThan(12_000)
})
