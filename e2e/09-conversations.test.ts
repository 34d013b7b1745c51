// What a run of an agent ends with and costs, through the whole line; which scenes there are is in dev/model. Beside it: live tests of each code agent.
import { readdir } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { addUsage, noUsage } from '@rdev/shared/domain/event'
import type { TaskEvent, Usage } from '@rdev/shared/domain/event'
import type { Bundle } from './setup.ts'
import { leaveShared, sharedStack } from './shared.ts'

let stack: Bundle
beforeAll(async () => {
  stack = await sharedStack()
})
afterAll(() => leaveShared(stack))

const agent = (prompt: string, more: object = {}) =>
  stack.run({ kind: 'agent', project_id: 'demo', provider: 'claude-code', prompt, ...more })

test('work in the background is waited for, a follow-up costs its own, and the events add up', async () => {
  const first = await agent('[[scenario: bg sleep 7; echo through]]')
  expect(first.task).toMatchObject({ status: 'succeeded', result: 'The background command has ended.', denied_tools: null })
  expect(first.task.usage).toEqual({ input_tokens: 303, output_tokens: 33, cache_read_tokens: 6000, cache_write_tokens: 3000 })
  const told = first.events.filter((event) => event.type === 'usage').map((event) => Number(event.data.cost_usd))
  expect(told.reduce((sum, cost) => sum + cost, 0)).toBe(first.task.cost_usd)
  const next = await agent('[[scenario: metered]]', { session_id: first.task.session_id })
  expect(next.task.usage).toMatchObject({ input_tokens: 100, output_tokens: 10 })
  expect(next.task.cost_usd).toBeLessThan(first.task.cost_usd!)
})

test('what was denied is told, and fails the task that asked for that', async () => {
  const denied = { allowed_tools: ['Read'] }
  const denied_tools = [{ name: 'Write', count: 1 }]
  const told = await agent('[[scenario: write note.txt hello]]', denied)
  expect(told.task).toMatchObject({ status: 'succeeded', denied_tools })
  expect(told.events.at(-1)!.data).toMatchObject({ status: 'succeeded', denied_tools })
  const failed = await agent('[[scenario: write note.txt hello]]', { ...denied, fail_on_denied: true })
  expect(failed.task).toMatchObject({ status: 'failed', error_code: 'TOOL_DENIED', result: expect.any(String), denied_tools })
})

/** The task has an API key of its own, so the model's server knows its requests. */
const counted = (key: string) => ({ model: 'claude-sonnet-4-5', env: { ANTHROPIC_API_KEY: key } })

interface Costs {
  readonly usage: Usage | null
  readonly cost_usd: number | null
}

/** What the model's server counted from one moment to another. */
function servedFor(key: string, from = 0, to = Infinity): Costs {
  const served = stack.modelRequests.filter((one) => one.key === key && one.at >= from && one.at < to)
  const usages = served.flatMap(({ usage }) => (usage ? [usage] : []))
  const usage = usages.map(({ cache_read_input_tokens, cache_creation_input_tokens, ...rest }) => ({
    ...rest,
    cache_read_tokens: cache_read_input_tokens,
    cache_write_tokens: cache_creation_input_tokens,
  }))
  return { usage: usage.reduce(addUsage, noUsage), cost_usd: served.reduce((sum, one) => sum + (one.cost_usd ?? 0), 0) }
}

/** What the usage events of an attempt add up to. */
function toldBy(events: readonly TaskEvent[], attempt: number): Costs {
  const told = events.filter((event) => event.type === 'usage' && event.attempt === attempt)
  const usages = told.map(({ data }) => data as Record<keyof Usage, number>)
  return { usage: usages.reduce(addUsage, noUsage), cost_usd: told.reduce((sum, { data }) => sum + Number(data.cost_usd), 0) }
}

function expectSame(told: Costs, served: Costs): void {
  expect(told.usage).toEqual(served.usage)
  expect(told.cost_usd).toBeCloseTo(served.cost_usd!, 9)
  expect(served.cost_usd).toBeGreaterThan(0)
}

test('a run that was cancelled at once costs what the model counted, and so does one that goes on with its conversation', async () => {
  const prompt = '[[scenario: steps 1]]'
  const { id, session_id } = await stack.client.task({ kind: 'agent', project_id: 'demo', prompt, ...counted('cut') })
  const events: TaskEvent[] = []
  for await (const event of stack.client.events(id, { resume: true })) {
    events.push(event)
    if (event.type === 'tool.started') await stack.client.json('POST', `/v1/tasks/${id}/cancel`)
  }
  const task = await stack.client.finished(id)
  expect(task).toMatchObject({ status: 'cancelled' })
  expectSame(task, servedFor('cut'))
  expectSame(toldBy(events, 1), servedFor('cut'))
  const next = await agent('[[scenario: metered]]', { session_id, ...counted('next') })
  expectSame(next.task, servedFor('next'))
})

test('each attempt of a task costs its own, and the task costs both', async () => {
  const { task, events } = await agent('[[scenario: pause]]', { ...counted('twice'), retry: { max_attempts: 2, on: ['agent_error'] } })
  expect(task).toMatchObject({ status: 'failed', error_code: 'AGENT_ERROR', attempt: 2 })
  const second = Date.parse(events.find((event) => event.type === 'task.requeued')!.time)
  expectSame(toldBy(events, 1), servedFor('twice', 0, second))
  expectSame(toldBy(events, 2), servedFor('twice', second))
  expectSame(task, servedFor('twice'))
})

test('temporary files are gone with the attempt', async () => {
  const { task, events } = await stack.run({ kind: 'shell', project_id: 'demo', command: 'mktemp; echo "$TMPDIR" >&2' })
  expect(task.status).toBe('succeeded')
  const folder = events.find((event) => event.type === 'output' && event.data.stream === 'stderr')!.data.text as string
  await expect.poll(() => readdir(folder.trim()).catch((error: NodeJS.ErrnoException) => error.code), { timeout: 20_000 }).toBe('ENOENT')
})
