// The real `opencode` against the scripted model.
import { readFile, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { Cursor } from '@rdev/shared/domain/attempt'
import type { AgentRequest, AgentResult } from '@rdev/shared/domain/code-agent'
import { startModel, type Model } from '../../../../dev/model/server.ts'
import { lightOpenCode, without } from '../../../../dev/testing/light-agents.ts'
import { createOpenCode } from './opencode.ts'
import { Child, ChildAttempt, createPod, request, type Pod } from '../testing/child-attempt.ts'

// Its start alone takes seconds of processor time; on a busy computer ten times as much. Limits are for what hangs.
const agent = createOpenCode({
  run: () => Promise.resolve({ exit_code: 0, stdout: '', stderr: '' }),
  limits: { startMs: 250_000, unansweredMs: 150_000 },
})
vi.setConfig({ testTimeout: 300_000 })

let model: Model
let pod: Pod
beforeAll(async () => {
  model = await startModel()
  pod = await createPod({ ANTHROPIC_API_KEY: 'scripted', ANTHROPIC_BASE_URL: model.url, ...lightOpenCode })
})
afterAll(async () => {
  await pod.remove()
  await model.close()
})

interface Run {
  readonly result: Promise<AgentResult>
  readonly attempt: ChildAttempt
}
function setup(prompt: string, more: Partial<AgentRequest> & { pod?: Pod; child?: Child; cursor?: Cursor; trusted?: boolean } = {}): Run {
  const { pod: where = pod, child = new Child(where), cursor, trusted = false, ...rest } = more
  const asked = request('opencode', prompt, rest)
  const attempt = new ChildAttempt(child, asked, cursor)
  if (trusted) Object.assign(attempt.pod, { trust_repository_settings: true })
  return { result: agent.execute(asked, attempt), attempt }
}
const data = (attempt: ChildAttempt, type: string) => attempt.events.filter((event) => event.type === type).map((event) => event.data)

test('it fixes a failing test with its tools, telling what it says, with deltas', async () => {
  await writeFile(`${pod.workspace}/sum.js`, 'export const sum = (a, b) => a - b\n')
  const lines = ["import test from 'node:test'", "import assert from 'node:assert'", "import { sum } from './sum.js'"]
  await writeFile(`${pod.workspace}/sum.test.js`, `${lines.join('\n')}\ntest('adds', () => assert.equal(sum(1, 2), 3))\n`)
  await writeFile(`${pod.workspace}/package.json`, '{"type":"module","scripts":{"test":"node --test"}}')
  // As it is, with all that it loads: the model is one that the binary knows by itself.
  const whole: Pod = { ...pod, env: without(pod.env, lightOpenCode) }
  const { result, attempt } = setup('Fix the failing test in this repository', { deltas: true, pod: whole })
  expect(await result).toMatchObject({ status: 'succeeded', turns: 6, result: expect.stringContaining('Fixed') })
  expect((await result).usage?.output_tokens).toBeGreaterThan(0)
  expect(await readFile(`${pod.workspace}/sum.js`, 'utf8')).toContain('a + b')
  // Some versions write about their database first.
  expect(attempt.types.filter((type) => type !== 'output').slice(0, 2)).toEqual(['agent.started', 'message.user'])
  expect(data(attempt, 'tool.started').map((tool) => tool.name)).toEqual(['bash', 'read', 'read', 'edit', 'bash'])
  expect(data(attempt, 'tool.finished').every((tool) => typeof tool.duration_ms === 'number')).toBe(true)
  expect(attempt.deltas.map((delta) => delta.text).join('')).toBe(
    data(attempt, 'message.assistant')
      .map((message) => message.text)
      .join(''),
  )
})

test('a follow-up in the same session saw the first conversation, from another server', async () => {
  const first = await setup('Remember the word kumquat.').result
  expect(first.provider_session_id).toMatch(/^ses_/)
  const second = await setup('Which word should you remember?', { provider_session_id: first.provider_session_id }).result
  expect(second).toMatchObject({ status: 'succeeded', result: 'The word is kumquat.', provider_session_id: first.provider_session_id })

  const nowhere = await setup('hello', { provider_session_id: 'ses_000000000000AAAAAAAAAAAAAA' }).result
  expect(nowhere).toMatchObject({ status: 'failed', error_code: 'SESSION_MISSING', error: expect.stringContaining('404') })
})

test('a wrong key is AUTH_FAILED', async () => {
  const { result, attempt } = setup('[[scenario: 401]]')
  expect(await result).toMatchObject({ status: 'failed', error_code: 'AUTH_FAILED' })
  expect(data(attempt, 'error')).toMatchObject([{ code: 'AUTH_FAILED' }])
})

test('a rate limit with a long wait is RATE_LIMITED, with the time when it resets', async () => {
  const { result, attempt } = setup('[[scenario: 429 3600]]')
  const { status, error_code, resets_at } = await result
  expect({ status, error_code }).toEqual({ status: 'failed', error_code: 'RATE_LIMITED' })
  expect(Date.parse(resets_at!) - Date.now()).toBeGreaterThan(3_000_000)
  expect(data(attempt, 'limit.reached')).toMatchObject([{ resets_at }])
})

test('a missing binary is BINARY_MISSING', async () => {
  const bare: Pod = { ...pod, env: { ...pod.env, PATH: '/usr/bin:/bin' } }
  expect(await setup('hello', { pod: bare }).result).toMatchObject({ status: 'failed', error_code: 'BINARY_MISSING', exit_code: 127 })
})

test('cancel during a tool call with a background child leaves nothing', async () => {
  const { result, attempt } = setup('[[scenario: background 3602]]')
  await attempt.until((event) => event.type === 'tool.started')
  await expect.poll(async () => (await attempt.child.tree()).length, { timeout: 10_000 }).toBeGreaterThanOrEqual(3)
  await agent.cancel(attempt)
  await attempt.cancel()
  expect(await result).toMatchObject({ status: 'cancelled', error_code: 'CANCELLED' })
  expect(await attempt.child.tree()).toEqual([])
})

test('a model that hangs ends at the time limit', async () => {
  expect(await setup('[[scenario: hang]]', { timeout_s: 6 }).result).toMatchObject({ status: 'timed_out', error_code: 'TIMEOUT' })
})

test('only allowed tools run; the model is told that the others are denied', async () => {
  const { result, attempt } = setup('[[scenario: write note.txt hello]]', { allowed_tools: ['Read'] })
  expect(await result).toMatchObject({ status: 'succeeded' })
  expect(data(attempt, 'tool.finished').every((tool) => tool.is_error === true)).toBe(true)
  await expect(readFile(`${pod.workspace}/note.txt`)).rejects.toThrow('ENOENT')
})

test("rules with patterns hold against the project's own configuration", async () => {
  const own = await createPod(pod.env)
  await writeFile(`${own.workspace}/opencode.json`, JSON.stringify({ permission: { bash: { 'echo *': 'ask' } } }))
  const here = { ...own, env: { ...pod.env, HOME: own.home } }
  const { result } = setup('[[scenario: tool echo through]]', { pod: here, allowed_tools: ['Bash(echo:*)'], trusted: true })
  expect(await result).toMatchObject({ status: 'succeeded', result: expect.stringContaining('through') })
  await own.remove()
})

test('with cut connections and a dead agent no event is lost or repeated, and the prompt is sent once', async () => {
  const child = new Child(pod)
  const prompt = '[[scenario: tool sleep 3; echo through]]'
  const first = setup(prompt, { child })
  await first.attempt.until((event) => event.type === 'agent.started')
  first.attempt.cut()
  await first.attempt.until((event) => event.type === 'tool.started')
  first.attempt.die()
  const second = setup(prompt, { child, cursor: first.attempt.emitted.at(-1)!.cursor })
  expect(await second.result).toMatchObject({ status: 'succeeded', turns: 2, result: expect.stringContaining('through') })
  expect([...first.attempt.types, ...second.attempt.types]).toEqual([
    'agent.started',
    'message.user',
    'tool.started',
    'tool.finished',
    'usage',
    'message.assistant',
    'usage',
  ])
  expect(model.requests.filter((asked) => asked.tools > 0 && asked.prompt === prompt)).toHaveLength(2)
})

test('the server runs until the log has its messages: if the agent dies before, the next one asks it again', async () => {
  const child = new Child(pod)
  const prompt = '[[scenario: plain The last word.]]'
  const first = setup(prompt, { child })
  first.attempt.withhold()
  await first.attempt.until((event) => event.type === 'usage')
  // Long enough to notice the end of the run and to stop the server.
  expect(await Promise.race([first.result.then(() => 'ended'), new Promise((resolve) => setTimeout(resolve, 4_000, 'waits'))])).toBe(
    'waits',
  )
  first.attempt.die()
  const began = first.attempt.emitted.findIndex((event) => event.type === 'message.user')
  const second = setup(prompt, { child, cursor: first.attempt.emitted[began]!.cursor })
  expect(await second.result).toMatchObject({ status: 'succeeded', result: 'The last word.' })
  expect(second.attempt.types).toEqual(['message.assistant', 'usage'])
})
