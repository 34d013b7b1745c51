import { expect, test } from 'vitest'
import type { NewEvent } from '../../ports.ts'
import type { Json } from '../json.ts'
import { onEvent } from './events.ts'
import { rulesOf } from './policy.ts'
import { openCodeResult } from './result.ts'
import { maxQuietSteps, maxSubagents, openCodeStart, readOpenCodeState, type OpenCodeState } from './state.ts'
import type { Effect, OpenCodeStep } from './step.ts'
import { ofSubagent, subagentsToRead } from './subagents.ts'

const context = { rules: rulesOf({}), now: 0, maxRetryWaitMs: 60_000, maxRetries: 10 }
const cancelled = { exit_code: 143, reason: 'cancelled', stdout_bytes: 0, stderr_bytes: 0, started_at: 0, ended_at: 1 } as const

function setup() {
  let state: OpenCodeState = { ...openCodeStart, session: 'ses_1', message: 'msg_00' }
  const events: NewEvent[] = []
  const effects: Effect[] = []
  const take = (step: OpenCodeStep) => {
    state = readOpenCodeState(JSON.parse(JSON.stringify(step.state)))
    events.push(...step.events)
    effects.push(...step.effects)
  }
  const tell = (message: Json) => take(onEvent(state, message, context))
  const info = (sessionID: string, id: string, more: Json = {}) =>
    tell({ type: 'message.updated', properties: { sessionID, info: { id, sessionID, role: 'assistant', time: { created: 1 }, ...more } } })
  const part = (sessionID: string, more: Json) =>
    tell({ type: 'message.part.updated', properties: { sessionID, part: { sessionID, ...more } } })
  /** The model calls a subagent; `status` as the server tells it. */
  const call = (status: string, child: string | undefined = 'ses_child', id = 'prt_call') =>
    part('ses_1', {
      id,
      messageID: 'msg_01',
      type: 'tool',
      tool: 'task',
      callID: `call_${id}`,
      state: { status, input: {}, ...(child !== undefined && { metadata: { sessionId: child } }) },
    })
  info('ses_1', 'msg_01')
  return {
    info,
    part,
    call,
    tell,
    events,
    effects,
    usage: () => events.filter((event) => event.type === 'usage').map((event) => event.data),
    state: () => state,
    list: (child: string, messages: readonly Json[]) => {
      for (const step of ofSubagent(child, messages)) take(step(state))
    },
    result: () => openCodeResult(state, cancelled, ''),
  }
}
const step = (id: string, messageID: string): Json => ({
  id,
  messageID,
  type: 'step-finish',
  cost: 0.25,
  tokens: { input: 100, output: 10, reasoning: 1, cache: { read: 5, write: 2 } },
})
const once = { input_tokens: 100, output_tokens: 11, cache_read_tokens: 5, cache_write_tokens: 2, cost_usd: 0.25 }

test("a subagent's steps are counted once, from stream and list, with the call that they belong to", () => {
  const { call, info, part, list, usage, result } = setup()
  call('running', undefined)
  call('running')
  info('ses_child', 'msg_02')
  part('ses_child', step('prt_1', 'msg_02'))
  part('ses_child', step('prt_1', 'msg_02'))
  // The stream was cut here; the list has what was missed.
  list('ses_child', [{ info: { id: 'msg_02', role: 'assistant' }, parts: [step('prt_1', 'msg_02'), step('prt_2', 'msg_02')] }])
  part('ses_child', step('prt_2', 'msg_02'))
  part('ses_unknown', step('prt_3', 'msg_02'))
  expect(usage()).toEqual([
    { ...once, parent_tool_id: 'call_prt_call' },
    { ...once, parent_tool_id: 'call_prt_call' },
  ])
  expect(result()).toMatchObject({ status: 'cancelled', cost_usd: 0.5, usage: { input_tokens: 200, output_tokens: 22 } })
})

test('a subagent of a subagent is counted too', () => {
  const { call, info, part, usage } = setup()
  call('running')
  info('ses_child', 'msg_02')
  const state = { status: 'running', metadata: { sessionId: 'ses_grandchild' } }
  part('ses_child', { id: 'prt_2', messageID: 'msg_02', type: 'tool', tool: 'task', callID: 'call_2', state })
  part('ses_grandchild', step('prt_3', 'msg_03'))
  expect(usage()).toMatchObject([{ cost_usd: 0.25, parent_tool_id: 'call_2' }])
})

test('what a continued subagent did for an earlier task is not counted again', () => {
  const { call, list, usage } = setup()
  call('completed')
  list('ses_child', [
    { info: { id: 'msg_', role: 'assistant' }, parts: [step('prt_0', 'msg_')] },
    { info: { id: 'msg_02', role: 'assistant' }, parts: [step('prt_1', 'msg_02')] },
  ])
  expect(usage()).toHaveLength(1)
})

test('its list is read until its call has ended, and once after', () => {
  const { call, list, state } = setup()
  call('running')
  list('ses_child', [])
  expect(subagentsToRead(state())).toEqual(['ses_child'])
  call('completed')
  list('ses_child', [])
  expect(subagentsToRead(state())).toEqual([])
})

test('a subagent that repeats itself ends the run, and so does one whose provider asks to wait for long', () => {
  const { call, info, effects } = setup()
  call('running')
  for (let at = 10; at <= 10 + maxQuietSteps; at++) info('ses_child', `msg_${at}`)
  expect(effects).toEqual([{ type: 'give_up' }])

  const other = setup()
  other.call('running')
  for (let at = 10; at <= 30; at++) {
    other.info('ses_child', `msg_${at}`)
    other.part('ses_child', { id: `prt_${at}`, messageID: `msg_${at}`, type: 'tool', tool: 'bash', state: { status: 'running' } })
  }
  expect(other.effects).toEqual([])
  const status = { type: 'retry', attempt: 1, message: 'Too many requests', next: 600_000 }
  other.tell({ type: 'session.status', properties: { sessionID: 'ses_child', status } })
  expect(other.effects).toEqual([{ type: 'give_up' }])
})

test('the state of many subagents is bounded', () => {
  const { call, state } = setup()
  for (let at = 0; at < maxSubagents + 50; at++) call('completed', `ses_${at}`, `prt_${at}`)
  expect(Object.keys(state().subagents)).toHaveLength(maxSubagents)
  expect(JSON.stringify(state().subagents).length).toBeLessThan(64 * 1024)
})
