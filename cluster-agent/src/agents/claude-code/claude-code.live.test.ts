// The real `claude` against the scripted model.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { AgentRequest, AgentResult } from '@rdev/shared/domain/code-agent'
import type { Cursor } from '@rdev/shared/domain/attempt'
import { startModel, type Model } from '../../../../dev/model/server.ts'
import { lightClaude, without } from '../../../../dev/testing/light-agents.ts'
import { createClaudeCode } from './claude-code.ts'
import { Child, ChildAttempt, createPod, request, type Pod } from '../testing/child-attempt.ts'

const agent = createClaudeCode({ run: () => Promise.resolve({ exit_code: 0, stdout: '', stderr: '' }), graceMs: 2000 })
vi.setConfig({ testTimeout: 150_000 })

let model: Model
let pod: Pod
beforeAll(async () => {
  model = await startModel()
  pod = await createPod({ ANTHROPIC_API_KEY: 'scripted', ANTHROPIC_BASE_URL: model.url, ...lightClaude })
})
afterAll(async () => {
  await pod.remove()
  await model.close()
})

interface Run {
  readonly result: Promise<AgentResult>
  readonly attempt: ChildAttempt
}
function setup(prompt: string, more: Partial<AgentRequest> & { pod?: Pod; child?: Child; cursor?: Cursor; bypass?: boolean } = {}): Run {
  const { pod: where = pod, child = new Child(where), cursor, bypass, ...rest } = more
  const asked = request('claude-code', prompt, rest)
  const attempt = new ChildAttempt(child, asked, cursor, bypass)
  return { result: agent.execute(asked, attempt), attempt }
}
const data = (attempt: ChildAttempt, type: string) => attempt.events.filter((event) => event.type === type).map((event) => event.data)

test('a plain answer, with deltas while it is written', async () => {
  const { result, attempt } = setup('Say hello', { deltas: true })
  expect(await result).toMatchObject({ status: 'succeeded', exit_code: 0, turns: 1, result: expect.stringContaining('Hello') })
  expect(attempt.types).toEqual(['agent.started', 'message.user', 'message.assistant', 'usage'])
  expect(attempt.deltas.map((delta) => delta.text).join('')).toBe((await result).result)
  expect((await result).usage?.output_tokens).toBeGreaterThan(0)
})

test('it fixes a failing test with its tools, without asking for permissions', async () => {
  await writeFile(`${pod.workspace}/sum.js`, 'export const sum = (a, b) => a - b\n')
  const lines = ["import test from 'node:test'", "import assert from 'node:assert'", "import { sum } from './sum.js'"]
  await writeFile(`${pod.workspace}/sum.test.js`, `${lines.join('\n')}\ntest('adds', () => assert.equal(sum(1, 2), 3))\n`)
  await writeFile(`${pod.workspace}/package.json`, '{"type":"module","scripts":{"test":"node --test"}}')
  // As it is, with nothing that makes its start cheaper.
  const whole: Pod = { ...pod, env: without(pod.env, lightClaude) }
  const { result, attempt } = setup('Fix the failing test in this repository', { pod: whole })
  expect(await result).toMatchObject({ status: 'succeeded', result: expect.stringContaining('Fixed') })
  expect(await readFile(`${pod.workspace}/sum.js`, 'utf8')).toContain('a + b')
  expect(data(attempt, 'tool.started').map((tool) => tool.name)).toEqual(['Bash', 'Read', 'Read', 'Edit', 'Bash'])
  expect(data(attempt, 'tool.finished').every((tool) => typeof tool.duration_ms === 'number')).toBe(true)
})

test('a follow-up in the same session saw the first conversation', async () => {
  const first = await setup('Remember the word kumquat.').result
  expect(first.provider_session_id).toMatch(/^[\w-]{36}$/)
  const asked = 'Which word should you remember?'
  const second = await setup(asked, { provider_session_id: first.provider_session_id }).result
  expect(second).toMatchObject({ status: 'succeeded', result: 'The word is kumquat.', provider_session_id: first.provider_session_id })
  expect((await setup(asked).result).result).not.toContain('kumquat')
})

test('a session that does not exist fails with a message', async () => {
  const { result } = setup('hello', { provider_session_id: '00000000-0000-4000-8000-000000000000' })
  expect(await result).toMatchObject({
    status: 'failed',
    error_code: 'SESSION_MISSING',
    error: expect.stringContaining('No conversation found'),
  })
})

test('a wrong key is AUTH_FAILED', async () => {
  const { result, attempt } = setup('[[scenario: 401]]')
  expect(await result).toMatchObject({ status: 'failed', error_code: 'AUTH_FAILED' })
  expect(data(attempt, 'error')).toMatchObject([{ code: 'AUTH_FAILED' }])
})

test('no key at all is AUTH_FAILED', async () => {
  const bare = await createPod({ ANTHROPIC_BASE_URL: model.url, ...lightClaude })
  expect(await setup('hello', { pod: bare }).result).toMatchObject({ status: 'failed', error_code: 'AUTH_FAILED' })
  await bare.remove()
})

test('a usage limit is RATE_LIMITED, with the time when it resets', async () => {
  const subscribed = await createPod({ CLAUDE_CODE_OAUTH_TOKEN: 'sk-ant-oat01-scripted', ANTHROPIC_BASE_URL: model.url, ...lightClaude })
  const { result, attempt } = setup('[[scenario: 429 3600]]', { pod: subscribed })
  const { status, error_code, resets_at } = await result
  expect({ status, error_code }).toEqual({ status: 'failed', error_code: 'RATE_LIMITED' })
  expect(Date.parse(resets_at!) - Date.now()).toBeGreaterThan(3_000_000)
  expect(data(attempt, 'limit.reached')).toMatchObject([{ resets_at, limit: 'five_hour' }])
  await subscribed.remove()
})

test('an overloaded model is tried again, and the log says so', async () => {
  const { result, attempt } = setup('[[scenario: flaky 1]]')
  expect(await result).toMatchObject({ status: 'succeeded', result: 'An answer after 1 failures.' })
  expect(data(attempt, 'error')).toMatchObject([{ message: expect.stringContaining('529') }])
})

test('a missing binary is BINARY_MISSING', async () => {
  const bare: Pod = { ...pod, env: { ...pod.env, PATH: '/usr/bin:/bin' } }
  expect(await setup('hello', { pod: bare }).result).toMatchObject({ status: 'failed', error_code: 'BINARY_MISSING', exit_code: 127 })
})

test('a process that does not exit after its result is ended, and the result stands', async () => {
  // A version that does not exit: the real one, and then a wait that also ignores INT and TERM.
  await mkdir(`${pod.home}/bin`)
  const real = `PATH=\${PATH#*:} claude "$@"`
  await writeFile(`${pod.home}/bin/claude`, `#!/bin/sh\n${real}\ntrap '' INT TERM\nwhile :; do sleep 1; done\n`, { mode: 0o755 })
  const lingering: Pod = { ...pod, env: { ...pod.env, PATH: `${pod.home}/bin:${pod.env.PATH}` } }
  const { result, attempt } = setup('Say hello', { pod: lingering })
  expect(await result).toMatchObject({ status: 'succeeded', result: expect.stringContaining('Hello') })
  expect(attempt.child.exit!.reason).toBe('stopped')
  expect(await attempt.child.tree()).toEqual([])
})

test('cancel during a tool call with a background child leaves no process', async () => {
  const { result, attempt } = setup('[[scenario: background 3601]]')
  await attempt.until((event) => event.type === 'tool.started')
  await expect.poll(async () => (await attempt.child.tree()).length, { timeout: 10_000 }).toBeGreaterThanOrEqual(3)
  await agent.cancel(attempt)
  await attempt.cancel()
  expect(await result).toMatchObject({ status: 'cancelled', error_code: 'CANCELLED' })
  expect(await attempt.child.tree()).toEqual([])
})

test('a model that hangs ends at the time limit', async () => {
  const { result } = setup('[[scenario: hang]]', { timeout_s: 2 })
  expect(await result).toMatchObject({ status: 'timed_out', error_code: 'TIMEOUT' })
})

test('only allowed tools run; the others are denied at once', async () => {
  const { result, attempt } = setup('[[scenario: tool touch made]]', { allowed_tools: ['Read'] })
  expect(await result).toMatchObject({ status: 'succeeded', result: expect.stringContaining('failed') })
  expect(data(attempt, 'approval.resolved')).toMatchObject([{ decision: 'denied' }])
})

test('bypassing permissions needs the pod to allow it', async () => {
  const mode = { permission_mode: 'bypassPermissions' } as const
  expect(await setup('hello', mode).result).toMatchObject({ status: 'failed', error_code: 'INVALID_SPEC' })
  const { result } = setup(`[[scenario: tool cat ${pod.home}/none; echo through]]`, { ...mode, bypass: true })
  expect(await result).toMatchObject({ status: 'succeeded', result: expect.stringContaining('through') })
})

test('when an agent dies in the middle, the next one goes on from there', async () => {
  const child = new Child(pod)
  const first = setup('[[scenario: tool sleep 2; echo through]]', { child })
  await first.attempt.until((event) => event.type === 'tool.started')
  first.attempt.die()
  const second = setup('[[scenario: tool sleep 2; echo through]]', { child, cursor: first.attempt.emitted.at(-1)!.cursor })
  expect(await second.result).toMatchObject({ status: 'succeeded', result: expect.stringContaining('through') })
  expect([...first.attempt.types, ...second.attempt.types]).toEqual([
    'agent.started',
    'message.user',
    'tool.started',
    'tool.finished',
    'message.assistant',
    'usage',
  ])
})
