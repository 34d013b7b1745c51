// What a run ends with when the model's server refused, or the answer is not whole. Lines as 2.1.330 writes them, cut to what matters.
import { expect, test } from 'vitest'
import type { ExitRecord } from '@rdev/shared/domain/attempt'
import { retryClassOf } from '@rdev/shared/domain/task'
import type { NewEvent } from '../../ports.ts'
import { parseLine } from './parser.ts'
import { claudeResult } from './result.ts'
import { claudeStart, readClaudeState, type ClaudeState } from './state.ts'

const now = 1_700_000_000_000
const exit = (reason: ExitRecord['reason'] = 'exited', exit_code = 0): ExitRecord => ({
  exit_code,
  reason,
  stdout_bytes: 0,
  stderr_bytes: 0,
  started_at: 0,
  ended_at: 1,
})

function setup(...messages: readonly object[]): {
  state: ClaudeState
  events: readonly NewEvent[]
  data: (type: string) => readonly object[]
} {
  let state: ClaudeState = claudeStart
  const events: NewEvent[] = []
  for (const message of messages) {
    // The state as the log returns it.
    const kept = readClaudeState(JSON.parse(JSON.stringify(state)))
    const step = parseLine(kept, { text: JSON.stringify(message), end: 0, removed: 0, tail: '' }, { prompt: 'p', now })
    state = step.state
    events.push(...step.events)
  }
  return { state, events, data: (type) => events.filter((event) => event.type === type).map((event) => event.data) }
}

const init = { type: 'system', subtype: 'init', session_id: 's' }
const says = { type: 'assistant', message: { content: [{ type: 'text', text: 'so far' }] } }
const retry = (error_status: number | null, attempt: number, retry_delay_ms = 500) => ({
  type: 'system',
  subtype: 'api_retry',
  attempt,
  max_retries: 10,
  retry_delay_ms,
  error_status,
  error: 'unknown',
})
const refused = (api_error_status: number, text: string, error = 'x') => ({
  type: 'assistant',
  error,
  api_error_status,
  message: { model: '<synthetic>', content: [{ type: 'text', text }] },
})
const result = (more: object = {}) => ({ type: 'result', subtype: 'success', is_error: false, result: 'done', ...more })

test('each retry has the code of its refusal', () => {
  const { data } = setup(init, retry(401, 1), retry(529, 1), retry(null, 1))
  expect(data('error')).toMatchObject([{ code: 'AUTH_FAILED' }, { code: 'AGENT_ERROR' }, { code: 'AGENT_ERROR' }])
})

test('a key that is refused a second time ends the run, whatever the process says when it is stopped', () => {
  expect(setup(init, retry(401, 1)).state.givenUp).toBeUndefined()
  const { state } = setup(init, retry(401, 1), retry(401, 2), result({ is_error: true, result: 'Request was aborted' }))
  expect(state.givenUp).toMatchObject({ code: 'AUTH_FAILED' })
  expect(claudeResult(state, exit('stopped', 130))).toMatchObject({
    status: 'failed',
    error_code: 'AUTH_FAILED',
    error: expect.stringContaining('401'),
  })
  // It was cancelled meanwhile.
  expect(claudeResult(state, exit('cancelled', 130))).toMatchObject({ status: 'cancelled' })
})

test('no retry is waited for that is due later than in a minute', () => {
  expect(setup(init, retry(429, 1, 60_000)).state.givenUp).toBeUndefined()
  const { state } = setup(init, retry(429, 1, 3_600_000))
  const resets_at = new Date(now + 3_600_000).toISOString()
  expect(claudeResult(state, exit('stopped'))).toMatchObject({ status: 'failed', error_code: 'RATE_LIMITED', resets_at })
  expect(claudeResult(setup(init, retry(529, 11)).state, exit('stopped'))).toMatchObject({ error_code: 'AGENT_ERROR' })
})

test('a limit that passed is not the one that ends the run', () => {
  const { state, data } = setup(
    init,
    retry(429, 1, 6000),
    says,
    refused(429, 'The limit is reached.'),
    result({ is_error: true, api_error_status: 429 }),
  )
  expect(data('limit.reached')).toMatchObject([{ message: expect.stringContaining('429') }, { message: 'The limit is reached.' }])
  // The pause that the client itself chose says nothing about the limit.
  for (const limit of data('limit.reached')) expect(limit).not.toHaveProperty('resets_at', expect.anything())
  const { resets_at, error_code } = claudeResult(state, exit('exited', 1))
  expect({ resets_at, error_code }).toEqual({ resets_at: undefined, error_code: 'RATE_LIMITED' })
})

test('a limit with a time is told once, and forgotten when the model answers again', () => {
  const told = { type: 'rate_limit_event', rate_limit_info: { status: 'rejected', resetsAt: 1_800_000_000, rateLimitType: 'five_hour' } }
  const ended = setup(init, told, refused(429, 'limit'), result({ is_error: true, api_error_status: 429 }))
  expect(ended.data('limit.reached')).toHaveLength(1)
  expect(claudeResult(ended.state, exit('exited', 1)).resets_at).toBe('2027-01-15T08:00:00.000Z')
  expect(setup(init, told, says).state.limited).toBeUndefined()
})

test.each(['pause_turn', 'max_tokens', 'model_context_window_exceeded'])(
  'an answer that ends with %s is no success, and is kept',
  (stop_reason) => {
    const { state } = setup(init, says, result({ stop_reason, result: 'the first half' }))
    expect(claudeResult(state, exit())).toMatchObject({
      status: 'failed',
      error_code: 'AGENT_ERROR',
      error: expect.stringContaining(stop_reason),
      result: 'the first half',
    })
    expect(claudeResult(setup(init, says, result({ stop_reason: 'end_turn' })).state, exit())).toMatchObject({ status: 'succeeded' })
  },
)

test('a conversation that is not there has a code of its own, which no policy repeats', () => {
  const errors = ['No conversation found with session ID: 00000000-0000-4000-8000-000000000000']
  const { state } = setup({ type: 'result', subtype: 'error_during_execution', is_error: true, errors })
  const end = claudeResult(state, exit('exited', 1))
  expect(end).toMatchObject({ status: 'failed', error_code: 'SESSION_MISSING', error: errors[0] })
  expect(retryClassOf({ status: 'failed', error_code: end.error_code! })).toBeNull()
})

test('denials are told once and counted, whether the stream tells them, the result, or both', () => {
  const denial = (id: string, tool_name: string) => ({ tool_use_id: id, tool_name, tool_input: {} })
  const told = { type: 'system', subtype: 'permission_denied', message: 'not allowed', ...denial('a', 'Write') }
  const list = [denial('a', 'Write'), denial('b', 'Bash'), denial('c', 'Write')]
  const { state, events, data } = setup(init, told, result({ permission_denials: list }), init, result({ permission_denials: list }))
  expect(data('approval.requested').map((one) => (one as { tool_id?: string }).tool_id)).toEqual(['a', 'b', 'c'])
  expect(data('approval.resolved')).toMatchObject([{ decision: 'denied' }, { name: 'Bash', by: 'policy' }, { name: 'Write' }])
  expect(events.at(-1)!.type).toBe('usage')
  expect(claudeResult(state, exit()).denied_tools).toEqual([
    { name: 'Write', count: 2 },
    { name: 'Bash', count: 1 },
  ])
  expect(claudeResult(setup(init, result()).state, exit())).not.toHaveProperty('denied_tools')
})

test('thousands of denials take bounded state', () => {
  const list = Array.from({ length: 5000 }, (_, i) => ({ tool_use_id: `toolu_${i}`, tool_name: `${i}`.repeat(1000) }))
  const { state } = setup(init, result({ permission_denials: list }))
  expect(JSON.stringify(state).length).toBeLessThan(64 * 1024)
  expect(claudeResult(state, exit()).denied_tools).toHaveLength(64)
})
