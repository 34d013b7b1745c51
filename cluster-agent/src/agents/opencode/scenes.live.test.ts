// The real `opencode` where it does not simply answer: subagents, summaries, cut answers, and what it says when it is stopped.
import { execFileSync } from 'node:child_process'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { AgentRequest } from '@rdev/shared/domain/code-agent'
import { startModel, type Model } from '../../../../dev/model/server.ts'
import { lightOpenCode } from '../../../../dev/testing/light-agents.ts'
import { createOpenCode } from './opencode.ts'
import { maxQuietSteps } from './state.ts'
import { Child, ChildAttempt, createPod, request, type Pod } from '../testing/child-attempt.ts'

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

function setup(prompt: string, more: Partial<AgentRequest> = {}, trusted = false) {
  const asked = request('opencode', prompt, more)
  const attempt = new ChildAttempt(new Child(pod), asked)
  if (trusted) Object.assign(attempt.pod, { trust_repository_settings: true })
  const before = model.requests.length
  const data = (type: string) => attempt.events.filter((event) => event.type === type).map((event) => event.data)
  const sum = (counts: readonly (number | undefined)[]) => counts.reduce<number>((total, count) => total + (count ?? 0), 0)
  return {
    result: agent.execute(asked, attempt),
    attempt,
    data,
    requests: () => model.requests.slice(before).filter((each) => each.path === '/v1/messages'),
    /** What the model's server counted. */
    counted: () => {
      const usages = model.requests.slice(before).map((each) => each.usage)
      return {
        input_tokens: sum(usages.map((usage) => usage?.input_tokens)),
        output_tokens: sum(usages.map((usage) => usage?.output_tokens)),
        cache_read_tokens: sum(usages.map((usage) => usage?.cache_read_input_tokens)),
        cache_write_tokens: sum(usages.map((usage) => usage?.cache_creation_input_tokens)),
      }
    },
    told: (field: string) => sum(data('usage').map((usage) => usage[field] as number)),
  }
}

test('a subagent has the tools of its task, and what it takes is counted, also in a follow-up', async () => {
  const first = setup('[[scenario: task echo from $((40 + 2))]]')
  const result = await first.result
  expect(result).toMatchObject({ status: 'succeeded', result: expect.stringContaining('from 42') })
  expect(first.requests()).toHaveLength(4)
  expect(result.usage).toEqual(first.counted())
  expect(result.cost_usd).toBeCloseTo(first.told('cost_usd'), 10)
  expect(first.told('input_tokens')).toBe(result.usage!.input_tokens)
  const [call] = first.data('tool.started')
  expect(first.data('usage').filter((usage) => usage.parent_tool_id === call!.tool_id)).toHaveLength(2)

  const second = setup('[[scenario: task echo again]]', { provider_session_id: result.provider_session_id })
  expect(await second.result).toMatchObject({ status: 'succeeded', usage: second.counted() })
})

test('a subagent may do no more than its task', async () => {
  const { result, data } = setup('[[scenario: task echo through]]', { allowed_tools: ['Task'] })
  expect(await result).toMatchObject({ status: 'succeeded', result: expect.not.stringContaining('through') })
  expect(data('tool.started')).toMatchObject([{ name: 'task' }])

  const some = setup('[[scenario: task echo through; echo more]]', { allowed_tools: ['Task', 'Bash(ls:*)'] })
  expect(await some.result).toMatchObject({ status: 'succeeded' })
  expect(some.data('approval.resolved')).toMatchObject([{ name: 'bash', decision: 'denied' }])
})

test('a conversation that was too long, and was made shorter, succeeds', async () => {
  const { result, attempt, counted } = setup('[[scenario: long]]')
  // OpenCode goes on with a prompt of its own.
  expect(await result).toMatchObject({ status: 'succeeded', result: expect.stringContaining('I read your prompt') })
  expect((await result).usage).toEqual(counted())
  expect(attempt.types).not.toContain('error')
})

test.each(['cut', 'full'])('an answer that is %s is no success', async (scene) => {
  const { result, data } = setup(`[[scenario: ${scene}]]`)
  expect(await result).toMatchObject({ status: 'failed', error_code: 'AGENT_ERROR', result: expect.stringMatching(/first/) })
  expect(data('error')).toMatchObject([{ code: 'AGENT_ERROR', message: expect.stringContaining('cut') }])
})

test('answers in a row without a tool call are bounded', async () => {
  expect(await setup('[[scenario: restless 3]]').result).toMatchObject({ status: 'succeeded', result: 'Short answer 4.' })
  const { result, requests } = setup(`[[scenario: restless ${maxQuietSteps + 4}]]`)
  expect(await result).toMatchObject({ status: 'failed', error_code: 'AGENT_ERROR', error: expect.stringContaining('without a tool call') })
  expect(requests().length).toBeLessThanOrEqual(maxQuietSteps + 2)
})

test('a prompt is a prompt, whatever it begins with', async () => {
  for (const prompt of ['/clear', '/compact @note.txt !ls #x']) {
    const { result, requests } = setup(prompt)
    expect(await result).toMatchObject({ status: 'succeeded' })
    expect(requests().map((each) => each.prompt)).toEqual([prompt])
  }
})

test('a folder of commands in the workspace gets nothing installed, and Git sees no change', async () => {
  const git = (...words: readonly string[]) => execFileSync('git', words, { cwd: pod.workspace, encoding: 'utf8' })
  await mkdir(`${pod.workspace}/.opencode/command`, { recursive: true })
  await writeFile(`${pod.workspace}/.opencode/command/x.md`, 'Say x.\n')
  git('init', '--quiet')
  git('add', '.opencode')
  expect(await setup('hello').result).toMatchObject({ status: 'succeeded' })
  expect(await readdir(`${pod.workspace}/.opencode`)).toEqual(['command'])
  expect(await setup('hello', {}, true).result).toMatchObject({ status: 'succeeded' })
  expect(await readdir(`${pod.workspace}/.opencode/node_modules`)).toEqual([])
  expect(git('status', '--porcelain', '.opencode').trim()).toBe('A  .opencode/command/x.md')
})

test('a run that is cancelled tells how its tool call ended', async () => {
  const { result, attempt, data } = setup('[[scenario: bash sleep 3603]]')
  await attempt.until((event) => event.type === 'tool.started')
  await agent.cancel(attempt)
  await attempt.cancel()
  expect(await result).toMatchObject({ status: 'cancelled', error_code: 'CANCELLED' })
  // As an error, or as the output so far: which, is a race in OpenCode.
  expect(data('tool.finished')).toMatchObject([{ tool_id: data('tool.started')[0]!.tool_id }])
})
