// What conversations with the real `claude` cost: as the model's server counted, to the token, and by its price list.
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { AgentRequest } from '@rdev/shared/domain/code-agent'
import { startModel, type Model } from '../../../../dev/model/server.ts'
import { lightClaude } from '../../../../dev/testing/light-agents.ts'
import type { CodeAgent } from '../../ports.ts'
import { createPod, runIn, type ChildAttempt, type Pod } from '../testing/child-attempt.ts'
import { cancelAt, expectCosts, run, type Ran } from '../testing/costs.ts'
import { createClaudeCode } from './claude-code.ts'

vi.setConfig({ testTimeout: 150_000 })

let model: Model
let pod: Pod
let agent: CodeAgent
beforeAll(async () => {
  model = await startModel()
  pod = await createPod({ ANTHROPIC_BASE_URL: model.url, ...lightClaude })
  agent = createClaudeCode({ run: runIn(pod), graceMs: 2000 })
})
afterAll(async () => {
  await pod.remove()
  await model.close()
})

/** A run; with `after`, in the conversation of that one. */
function ask(
  prompt: string,
  { after, ...more }: Partial<AgentRequest> & { after?: Ran; during?: (attempt: ChildAttempt) => Promise<void> } = {},
): Promise<Ran> {
  return run({ model, pod, agent }, prompt, { ...more, ...(after && { provider_session_id: after.result.provider_session_id }) })
}

test('a follow-up of a follow-up', async () => {
  const first = await ask('[[scenario: metered]]')
  expectCosts(first)
  const second = await ask('[[scenario: bash echo hello]]', { after: first })
  expectCosts(second)
  expectCosts(await ask('[[scenario: metered]]', { after: second }))
})

test.each([
  ['at once', 1],
  ['at its second call', 2],
])('a run that was cancelled %s, one of its conversation that is cancelled too, and one that is not', async (_, call) => {
  const prompt = `[[scenario: steps ${call}]]`
  const first = await ask(prompt, { during: cancelAt(agent, call) })
  expect(first.result).toMatchObject({ status: 'cancelled' })
  expect(first.served).toHaveLength(call)
  expectCosts(first)
  const second = await ask(prompt, { after: first, during: cancelAt(agent, call) })
  expect(second.result).toMatchObject({ status: 'cancelled' })
  expectCosts(second)
  expectCosts(await ask('[[scenario: metered]]', { after: second }))
})

test('a run that reached its time limit', async () => {
  const ran = await ask('[[scenario: steps 2]]', { timeout_s: 9 })
  expect(ran.result).toMatchObject({ status: 'timed_out' })
  expectCosts(ran)
})

test('a run that failed, and its repetition in the same conversation', async () => {
  const first = await ask('[[scenario: pause]]')
  expect(first.result).toMatchObject({ status: 'failed', error_code: 'AGENT_ERROR' })
  expectCosts(first)
  expectCosts(await ask('[[scenario: pause]]', { after: first }))
})

test('work in the background', async () => {
  const ran = await ask('[[scenario: bg sleep 3; echo done]]')
  expect(ran.served).toHaveLength(3)
  expectCosts(ran)
  expectCosts(await ask('[[scenario: metered]]', { after: ran }))
})

test.each(['sub', 'subbg'])('a subagent (%s)', async (scene) => {
  const ran = await ask(`[[scenario: ${scene} echo from the subagent]]`)
  expect(ran.served.length).toBeGreaterThanOrEqual(4)
  expectCosts(ran)
  expectCosts(await ask(`[[scenario: ${scene} echo again]]`, { after: ran }))
})

test('a subagent that was cancelled', async () => {
  const ran = await ask('[[scenario: sub sleep 9.5]]', { during: cancelAt(agent, 2) })
  expect(ran.result).toMatchObject({ status: 'cancelled' })
  expectCosts(ran)
})

test('a conversation that was too long, and was made shorter', async () => {
  const first = await ask('[[scenario: metered]]')
  const second = await ask('[[scenario: metered]]', { after: first })
  const ran = await ask('[[scenario: long]]', { after: second })
  expect(ran.result).toMatchObject({ status: 'succeeded' })
  // The summary is a request too.
  expect(ran.served.length).toBeGreaterThanOrEqual(2)
  expectCosts(ran)
  expectCosts(await ask('[[scenario: metered]]', { after: ran }))
})
