import { afterAll, beforeAll, expect, test } from 'vitest'
import { cancel, startNapping } from './scenarios.ts'
import { isWhole, processesWith, until } from './setup.ts'
import type { Bundle } from './setup.ts'
import { leaveShared, sharedStack } from './shared.ts'

let stack: Bundle
beforeAll(async () => {
  stack = await sharedStack()
})
afterAll(() => leaveShared(stack))

test.each(['claude-code', 'opencode'])(
  '%s: cancel during a tool call that left a background child with setsid leaves no process',
  async (provider) => {
    const { id, nap } = await startNapping(stack, provider)
    await expect.poll(() => processesWith(`sleep\0${nap}`).then((pids) => pids.length), { timeout: 20_000 }).toBeGreaterThanOrEqual(2)
    await cancel(stack, id)
    expect(await processesWith(`RDEV_ATTEMPT=${id}.1`)).toEqual([])
    expect(await processesWith(`sleep\0${nap}`)).toEqual([])
  },
)

test('cancel of a shell task that ignores INT and TERM ends it all the same', async () => {
  const { id } = await stack.client.task({
    kind: 'shell',
    project_id: 'demo',
    command: `trap '' INT TERM; echo ready; while :; do sleep 1; done`,
  })
  await until(stack, id, (event) => event.type === 'output')
  await cancel(stack, id)
  expect(await processesWith(`RDEV_ATTEMPT=${id}.1`)).toEqual([])
})

test('cancel of a queued task is final at once, and its log says so', async () => {
  const blockers = await Promise.all(
    Array.from({ length: 4 }, () => stack.client.task({ kind: 'shell', project_id: 'demo', workspace: null, command: 'sleep 60' })),
  )
  for (const { id } of blockers) await until(stack, id, (event) => event.type === 'task.started')
  const { id } = await stack.client.task({ kind: 'shell', project_id: 'demo', command: 'echo never' })
  expect(await stack.client.json('POST', `/v1/tasks/${id}/cancel`)).toMatchObject({ status: 'cancelled', attempt: 0 })
  const events = []
  for await (const event of stack.client.events(id)) events.push(event)
  expect(isWhole(events)).toBe(true)
  expect(events.map((event) => event.type)).toEqual(['task.queued', 'task.finished'])
  await Promise.all(blockers.map((blocker) => cancel(stack, blocker.id)))
})

test('cancel of a task that has ended changes nothing', async () => {
  const { task } = await stack.run({ kind: 'shell', project_id: 'demo', command: 'true' })
  expect(await stack.client.json('POST', `/v1/tasks/${task.id}/cancel`)).toEqual(task)
})
