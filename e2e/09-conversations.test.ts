// What a run of an agent ends with and costs, through the whole line; which scenes there are is in dev/model. Beside it: live tests of each code agent.
import { readdir } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
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

test('a run that was cancelled tells its tokens', async () => {
  const body = {
    kind: 'agent',
    project_id: 'demo',
    provider: 'claude-code',
    prompt: '[[scenario: bash for i in 1 2 3 4 5 6 7 8 9; do sleep 1; done]]',
  }
  const { id } = await stack.client.task(body)
  for await (const event of stack.client.events(id, { resume: true })) {
    if (event.type === 'tool.started') await stack.client.json('POST', `/v1/tasks/${id}/cancel`)
  }
  const task = await stack.client.finished(id)
  expect(task).toMatchObject({ status: 'cancelled', usage: { input_tokens: 100, cache_write_tokens: 1000 } })
})

test('temporary files are gone with the attempt', async () => {
  const { task, events } = await stack.run({ kind: 'shell', project_id: 'demo', command: 'mktemp; echo "$TMPDIR" >&2' })
  expect(task.status).toBe('succeeded')
  const folder = events.find((event) => event.type === 'output' && event.data.stream === 'stderr')!.data.text as string
  await expect.poll(() => readdir(folder.trim()).catch((error: NodeJS.ErrnoException) => error.code), { timeout: 20_000 }).toBe('ENOENT')
})
