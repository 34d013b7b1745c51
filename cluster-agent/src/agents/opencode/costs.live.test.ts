// What conversations with the real `opencode` cost: as the model's server counted, to the token, and by its price list.
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { AgentRequest } from '@rdev/shared/domain/code-agent'
import { startModel, type Model } from '../../../../dev/model/server.ts'
import { lightOpenCode } from '../../../../dev/testing/light-agents.ts'
import type { CodeAgent } from '../../ports.ts'
import { createPod, runIn, type ChildAttempt, type Pod } from '../testing/child-attempt.ts'
import { cancelAt, expectCosts, run, type Ran } from '../testing/costs.ts'
import { createOpenCode } from './opencode.ts'

vi.setConfig({ testTimeout: 300_000 })

let model: Model
let pod: Pod
let agent: CodeAgent
beforeAll(async () => {
  model = await startModel()
  pod = await createPod({ ANTHROPIC_BASE_URL: model.url, ...lightOpenCode })
  agent = createOpenCode({ run: runIn(pod), limits: { startMs: 250_000, unansweredMs: 150_000 } })
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

test('a run that was cancelled at its second call, and one that goes on with its conversation', async () => {
  const first = await ask('[[scenario: steps 2]]', { during: cancelAt(agent, 2) })
  expect(first.result).toMatchObject({ status: 'cancelled' })
  expect(first.served).toHaveLength(2)
  // It tells the tokens of a step at its end, and this one was stopped in its middle.
  expectCosts(first, first.served.slice(0, -1))
  expectCosts(await ask('[[scenario: metered]]', { after: first }))
})

test('a run that failed, and its repetition in the same conversation', async () => {
  const first = await ask('[[scenario: cut]]')
  expect(first.result).toMatchObject({ status: 'failed', error_code: 'AGENT_ERROR' })
  expectCosts(first)
  expectCosts(await ask('[[scenario: cut]]', { after: first }))
})

test('a subagent, and one more in a follow-up', async () => {
  const ran = await ask('[[scenario: task echo from the subagent]]')
  expect(ran.served).toHaveLength(4)
  expectCosts(ran)
  expectCosts(await ask('[[scenario: task echo again]]', { after: ran }))
})

test('a conversation that was too long, and was made shorter', async () => {
  const ran = await ask('[[scenario: long]]')
  expect(ran.result).toMatchObject({ status: 'succeeded' })
  expect(ran.served.length).toBeGreaterThanOrEqual(2)
  expectCosts(ran)
  expectCosts(await ask('[[scenario: metered]]', { after: ran }))
})
