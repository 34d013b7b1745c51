// The real `claude` in conversations that last, fork, wait and are cut: how they end, and what they cost, which must be what the model's server
// counted itself. The scenes are those of dev/model/claude-scenes.ts.
import { access, mkdir, readdir, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import type { AgentRequest, AgentResult } from '@rdev/shared/domain/code-agent'
import { addUsage, noUsage } from '@rdev/shared/domain/event'
import { startModel, type Model } from '../../../../dev/model/server.ts'
import { lightClaude } from '../../../../dev/testing/light-agents.ts'
import { number } from '../json.ts'
import { Child, ChildAttempt, createPod, request, runIn, type Pod } from '../testing/child-attempt.ts'
import { usageOf } from '../usage.ts'
import { createClaudeCode } from './claude-code.ts'

const agent = createClaudeCode({ run: () => Promise.reject(new Error('not asked')), graceMs: 2000 })
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

interface Ran {
  readonly result: AgentResult
  readonly attempt: ChildAttempt
  readonly data: (type: string) => readonly Readonly<Record<string, unknown>>[]
  /** What the model's server counted meanwhile. */
  readonly served: ReturnType<typeof usageOf>
}

async function setup(
  prompt: string,
  {
    during,
    in: where = pod,
    trusted = false,
    ...more
  }: Partial<AgentRequest> & { in?: Pod; trusted?: boolean; during?: (attempt: ChildAttempt) => Promise<void> } = {},
): Promise<Ran> {
  const asked = request('claude-code', prompt, more)
  const attempt = new ChildAttempt(new Child(where), asked)
  if (trusted) Object.assign(attempt.pod, { trust_repository_settings: true })
  const before = model.requests.length
  const running = agent.execute(asked, attempt)
  await during?.(attempt)
  const result = await running
  const served = model.requests.slice(before).map((one) => usageOf(one.usage))
  const data = (type: string) => attempt.events.filter((event) => event.type === type).map((event) => event.data)
  return { result, attempt, data, served: served.reduce(addUsage, noUsage) }
}

/** The run costs what was served, and its events add up to the same. */
function expectCosts({ result, data, served }: Ran): void {
  expect(result.usage).toEqual(served)
  expect(data('usage').map(usageOf).reduce(addUsage, noUsage)).toEqual(served)
  const cost = data('usage').reduce((sum, one) => sum + (number(one.cost_usd) ?? 0), 0)
  expect(result.cost_usd).toBe(cost)
  expect(cost).toBeGreaterThan(0)
}
async function waitsForCommands(): Promise<boolean> {
  const { stdout } = await runIn(pod)('', 'claude --version', 60_000)
  const [, major, minor, patch] = /^(\d+)\.(\d+)\.(\d+)/.exec(stdout) ?? []
  return Number(major) * 1e6 + Number(minor) * 1e3 + Number(patch) > 2_001_290
}

test('work in the background is waited for, and the model is told of its end', async () => {
  const ran = await setup('[[scenario: bg sleep 8; echo through >done.txt]]')
  // Older ones stop commands in the background 5 s after an answer, whatever they are told.
  if (!(await waitsForCommands())) {
    expect(ran.result).toMatchObject({ status: 'failed', error_code: 'AGENT_ERROR', error: expect.stringContaining('1 background task') })
    return
  }
  expect(ran.result).toMatchObject({ status: 'succeeded', result: 'The background command has ended.' })
  expect(await readdir(pod.workspace)).toContain('done.txt')
  expect(ran.result.usage).toEqual({ input_tokens: 303, output_tokens: 33, cache_read_tokens: 6000, cache_write_tokens: 3000 })
  expect(ran.data('usage')).toHaveLength(2)
  expectCosts(ran)
})

test('no time limit of the program cuts work in the background', async () => {
  const limited = await createPod({ ...pod.env, CLAUDE_CODE_PRINT_BG_WAIT_CEILING_MS: '1000' })
  onTestFinished(() => limited.remove())
  const { result } = await setup('[[scenario: subbg sleep 9; echo through]]', { in: limited })
  expect(result).toMatchObject({ status: 'succeeded', result: expect.not.stringContaining('asked 1 answers ago') })
})

test('each of three tasks of a conversation costs the same', async () => {
  const first = await setup('[[scenario: metered]]')
  expectCosts(first)
  for (let i = 0; i < 2; i++) {
    const next = await setup('[[scenario: metered]]', { provider_session_id: first.result.provider_session_id })
    expectCosts(next)
    expect(next.result).toMatchObject({ usage: { input_tokens: 100, output_tokens: 10 } })
    expect(next.result.cost_usd).toBeCloseTo(first.result.cost_usd!, 9)
  }
})

test.each(['sub', 'subbg'])('a subagent (%s) costs what it took, and is waited for', async (scene) => {
  const ran = await setup(`[[scenario: ${scene} echo from the subagent]]`)
  expect(ran.result).toMatchObject({ status: 'succeeded' })
  expect(ran.data('tool.finished').map((one) => one.output)).toContainEqual(expect.stringContaining('from the subagent'))
  expectCosts(ran)
})

test('a refused key ends the run after its second retry', async () => {
  const { result, data } = await setup('[[scenario: r401]]')
  expect(result).toMatchObject({ status: 'failed', error_code: 'AUTH_FAILED', error: expect.stringContaining('401') })
  expect(data('error').slice(0, 2)).toMatchObject([{ code: 'AUTH_FAILED' }, { code: 'AUTH_FAILED' }])
  expect(data('error').length).toBeLessThanOrEqual(3)
})

test('a limit that passed does not hide the one that ends the run', async () => {
  const { result, data } = await setup('[[scenario: r429mix]]')
  expect(result).toMatchObject({ status: 'failed', error_code: 'RATE_LIMITED' })
  expect(result.resets_at === undefined || Date.parse(result.resets_at) > Date.now() + 3_000_000).toBe(true)
  expect(data('limit.reached').length).toBeGreaterThanOrEqual(2)
})

test('half an answer is no success', async () => {
  const { result } = await setup('[[scenario: pause]]')
  expect(result).toMatchObject({ status: 'failed', error_code: 'AGENT_ERROR', result: 'The first half of an answer,' })
  expect((await setup('[[scenario: cut]]')).result).toMatchObject({ status: 'failed', error_code: 'AGENT_ERROR' })
})

test('a prompt that begins with the name of a command is a prompt', async () => {
  const first = await setup('Remember the word kumquat.')
  const { provider_session_id } = first.result
  for (const prompt of ['/cost of living in Berlin', '/clear', '/model opus', '/compact']) {
    const { result } = await setup(prompt, { provider_session_id })
    expect(result).toMatchObject({ status: 'succeeded', result: expect.stringContaining(`I read your prompt ("${prompt}")`) })
  }
  expect((await setup('Which word should you remember?', { provider_session_id })).result.result).toBe('The word is kumquat.')
})

test('a conversation that is gone has a code of its own', async () => {
  const { result } = await setup('hello', { provider_session_id: '00000000-0000-4000-8000-000000000000' })
  expect(result).toMatchObject({ status: 'failed', error_code: 'SESSION_MISSING' })
})

test('what was denied is told', async () => {
  const { result } = await setup('[[scenario: write note.txt hello]]', { allowed_tools: ['Read'] })
  expect(result).toMatchObject({ status: 'succeeded', denied_tools: [{ name: 'Write', count: 1 }] })
})

test('its temporary files are in TMPDIR', async () => {
  const temporary = `${pod.home}/temporary files`
  await mkdir(temporary)
  const elsewhere = await createPod({ ...pod.env, HOME: pod.home, TMPDIR: temporary })
  const { result } = await setup('[[scenario: bg sleep 1; echo done]]', { in: elsewhere })
  expect(result).toMatchObject({ status: 'succeeded' })
  expect(await readdir(temporary)).not.toEqual([])
  const usual = `/tmp/claude-${process.getuid?.() ?? 0}/${elsewhere.workspace.replaceAll(/[^a-zA-Z0-9]/g, '-')}`
  await expect(access(usual)).rejects.toThrow('ENOENT')
  await elsewhere.remove()
})

test.each([false, true])('a repository says where the model is and starts servers only if the pod trusts it (%s)', async (trusted) => {
  const other = await startModel()
  onTestFinished(() => other.close())
  const inside = await createPod({ ...pod.env })
  onTestFinished(() => inside.remove())
  const { home, workspace } = inside
  const own = { ...inside, env: { ...inside.env, HOME: home, TMPDIR: `${home}/tmp` } }
  await mkdir(`${workspace}/.claude`)
  const settings = { enableAllProjectMcpServers: true, env: { ANTHROPIC_BASE_URL: other.url } }
  await writeFile(`${workspace}/.claude/settings.json`, JSON.stringify(settings))
  const server = (name: string) => ({ mcpServers: { [name]: { command: 'sh', args: ['-c', `touch ${home}/${name}; cat`] } } })
  await writeFile(`${workspace}/.mcp.json`, JSON.stringify(server('theirs')))
  await writeFile(`${home}/.claude.json`, JSON.stringify({ numStartups: 1, ...server('own') }))
  // It takes a moment until the servers start.
  const { result } = await setup('[[scenario: bash sleep 2]]', { in: own, trusted })
  expect(result).toMatchObject({ status: 'succeeded' })
  expect(other.requests.some(({ path }) => path === '/v1/messages')).toBe(trusted)
  expect(await readdir(home)).toEqual(expect.arrayContaining(trusted ? ['own', 'theirs'] : ['own']))
  if (!trusted) expect(await readdir(home)).not.toContain('theirs')
})
