// How a run ends that does not simply end: too long, cut, restless.
import { expect, test } from 'vitest'
import type { NewEvent } from '../../ports.ts'
import type { Json } from '../json.ts'
import { ofMessages, onEvent, onRest } from './events.ts'
import { rulesOf } from './policy.ts'
import { openCodeResult } from './result.ts'
import { maxQuietSteps, openCodeStart, readOpenCodeState, type OpenCodeState } from './state.ts'
import type { Effect, OpenCodeStep } from './step.ts'

const context = { rules: rulesOf({}), now: 0, maxRetryWaitMs: 60_000, maxRetries: 10 }
const stopped = { exit_code: 143, reason: 'stopped', stdout_bytes: 0, stderr_bytes: 0, started_at: 0, ended_at: 1 } as const

function setup() {
  let state: OpenCodeState = { ...openCodeStart, session: 'ses_1', message: 'msg_00' }
  const events: NewEvent[] = []
  const effects: Effect[] = []
  const take = (step: OpenCodeStep) => {
    // What the log returns after a restart, after every step.
    state = readOpenCodeState(JSON.parse(JSON.stringify(step.state)))
    events.push(...step.events)
    effects.push(...step.effects)
  }
  const tell = (type: string, properties: Json) =>
    take(onEvent(state, { type, properties: { sessionID: 'ses_1', ...properties } }, context))
  /** A whole message of the model: begun, with its parts, completed. */
  const message = (id: string, info: Json, ...parts: readonly Json[]) => {
    tell('message.updated', { info: { id, role: 'assistant', time: { created: 1 }, ...('summary' in info && { summary: info.summary }) } })
    for (const [index, part] of parts.entries())
      tell('message.part.updated', { part: { id: `prt_${id}_${index}`, messageID: id, ...part } })
    tell('message.updated', { info: { id, role: 'assistant', time: { created: 1, completed: 2 }, ...info } })
  }
  return {
    tell,
    message,
    say: (words: string) => ({ type: 'text', text: words, time: { start: 1, end: 2 } }),
    list: (messages: readonly Json[]) => {
      for (const step of ofMessages(messages)) take(step(state, context))
    },
    /** The server rests; answers whether the run is over. */
    rest: () => {
      const { over, ...step } = onRest(state)
      take(step)
      return over
    },
    result: () => openCodeResult(state, stopped, ''),
    types: () => events.map((event) => event.type),
    events,
    effects,
  }
}
const overflow = { error: { name: 'ContextOverflowError', data: { message: 'prompt is too long: 250000 tokens > 200000 maximum' } } }

test('a conversation that was too long, and was summarized, is no failure, and the summary is not what the model said', () => {
  const { tell, message, say, rest, result, types } = setup()
  tell('message.updated', { info: { id: 'msg_01', role: 'assistant', time: { created: 1 } } })
  tell('session.error', overflow)
  tell('message.updated', { info: { id: 'msg_01', role: 'assistant', time: { created: 1, completed: 2 } } })
  message('msg_03', { summary: true, finish: 'stop' }, say('What happened so far'))
  message('msg_05', { finish: 'stop' }, say('Hello'))
  expect(rest()).toBe(true)
  expect(result()).toMatchObject({ status: 'succeeded', result: 'Hello' })
  expect(types()).toEqual(['provider.raw', 'provider.raw', 'message.assistant'])
})

test('the same from the list of messages, which has no session errors', () => {
  const { say, list, rest, result, types } = setup()
  const message = (id: string, info: Json, ...parts: readonly Json[]) => ({
    info: { id, role: 'assistant', time: { completed: 2 }, ...info },
    parts: parts.map((part, index) => ({ id: `prt_${id}_${index}`, messageID: id, ...part })),
  })
  list([
    message('msg_01', {}),
    message('msg_03', { summary: true, finish: 'stop' }, say('What happened so far')),
    message('msg_05', { finish: 'stop' }, say('Hello')),
  ])
  expect(rest()).toBe(true)
  expect(result()).toMatchObject({ status: 'succeeded', result: 'Hello' })
  expect(types()).toEqual(['provider.raw', 'message.assistant'])
})

test('a conversation that is too long even for a summary fails with the reason', () => {
  const { tell, message, rest, result, types } = setup()
  tell('message.updated', { info: { id: 'msg_01', role: 'assistant', time: { created: 1 } } })
  tell('session.error', overflow)
  tell('message.updated', { info: { id: 'msg_01', role: 'assistant', time: { created: 1, completed: 2 } } })
  expect(types()).toEqual(['provider.raw'])
  message('msg_03', { summary: true, finish: 'error', error: { name: 'ContextOverflowError', data: { message: 'too large to compact' } } })
  expect(rest()).toBe(true)
  expect(rest()).toBe(true)
  expect(result()).toMatchObject({ status: 'failed', error_code: 'AGENT_ERROR', error: expect.stringContaining('prompt is too long') })
  expect(types()).toEqual(['provider.raw', 'error'])
})

test('a summary alone is no answer', () => {
  const { tell, message, say, rest, result } = setup()
  tell('message.updated', { info: { id: 'msg_01', role: 'assistant', time: { created: 1 } } })
  tell('session.error', overflow)
  message('msg_03', { summary: true, finish: 'stop' }, say('What happened so far'))
  expect(rest()).toBe(true)
  expect(result()).toMatchObject({ status: 'failed', error: expect.stringContaining('prompt is too long') })
})

test('an answer that was cut, by the limit of tokens or because the window is full, is no success, and the half is kept', () => {
  const { message, say, rest, result, types } = setup()
  message('msg_01', { finish: 'length' }, say('first half,'))
  expect(rest()).toBe(true)
  expect(result()).toMatchObject({
    status: 'failed',
    error_code: 'AGENT_ERROR',
    error: expect.stringContaining('cut'),
    result: 'first half,',
  })
  expect(types()).toEqual(['message.assistant', 'error'])
})

test('an answer that was cut and continued is none', () => {
  const { message, say, rest, result } = setup()
  message('msg_01', { finish: 'length' }, say('first half,'))
  message('msg_02', { finish: 'stop' }, say('second half'))
  expect(rest()).toBe(true)
  expect(result()).toMatchObject({ status: 'succeeded', result: 'second half' })
})

test('the server rests before it has begun: that is no end', () => {
  const { rest, tell } = setup()
  expect(rest()).toBe(false)
  tell('message.updated', { info: { id: 'msg_01', role: 'assistant', time: { created: 1 } } })
  expect(rest()).toBe(false)
})

test('steps in a row without a tool call are bounded, with a tool call they are not', () => {
  const { message, say, effects, result, types } = setup()
  const call = { type: 'tool', tool: 'bash', callID: 'c', state: { status: 'completed', input: {}, output: '' } }
  for (let step = 10; step < 40; step++) message(`msg_${step}`, { finish: 'tool-calls' }, call)
  for (let step = 40; step < 40 + maxQuietSteps; step++) message(`msg_${step}`, {}, say('again'))
  expect(effects).toEqual([])
  message('msg_60', {}, say('again'))
  expect(effects).toEqual([{ type: 'give_up' }])
  expect(result()).toMatchObject({ status: 'failed', error_code: 'AGENT_ERROR', error: expect.stringContaining('without a tool call') })
  expect(types().filter((type) => type === 'error')).toHaveLength(1)
})
