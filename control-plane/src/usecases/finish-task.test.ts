import { outcome } from '@rdev/shared/domain/task'
import { expect, test } from 'vitest'
import { setup as setupApi } from '../testing/setup.ts'
import { finishTask } from './finish-task.ts'

async function setup(retry: object = { max_attempts: 2, on: ['lost', 'rate_limited'] }) {
  const api = await setupApi()
  const { id } = await api.createTask({ ...api.shellTask, retry })
  await api.start(id)
  api.hubs.pokes.length = 0
  return { ...api, id, ref: { task_id: id, attempt: 1 } }
}

test('an attempt that succeeded ends its task, and repeating it changes nothing', async () => {
  const { deps, ref, hubs, clock } = await setup()
  const ended = await finishTask(deps, ref, outcome('succeeded', { exit_code: 0 }))
  expect(ended).toMatchObject({ status: 'succeeded', exit_code: 0 })
  clock.advance(1000)
  expect(await finishTask(deps, ref, outcome('failed'))).toEqual(ended)
  expect(hubs.pokes).toEqual([])
})

test('what the policy retries is queued again, later, and the hub is told', async () => {
  const { deps, ref, hubs, clock } = await setup()
  const again = await finishTask(deps, ref, outcome('lost', { error_code: 'LOST' }))
  expect(again?.status).toBe('queued')
  expect(again!.run_after).toBeGreaterThanOrEqual(clock.now())
  expect(again!.run_after).toBeLessThan(clock.now() + 1000)
  expect(hubs.pokes).toEqual(['home'])
})

const limited = (resets_at: number | null) => outcome('failed', { error_code: 'RATE_LIMITED', resets_at })
const hour = 60 * 60_000
const week = 7 * 24 * hour

test.each([
  ['waits for the moment that the provider told, and a little', hour, hour, hour + 30_000],
  ['does not wait for longer than a week', 30 * week, week, week + 30_000],
  ['does not wait for a moment that has passed', -2 * hour, 0, 1000],
  ['waits as after any other failure if the provider told nothing', null, 0, 1000],
])('a task at its limit %s', async (_, inMs, from, to) => {
  const { deps, ref, clock } = await setup()
  const now = clock.now()
  const again = await finishTask(deps, ref, limited(inMs === null ? null : now + inMs))
  expect(again?.status).toBe('queued')
  expect(again!.run_after - now).toBeGreaterThanOrEqual(from)
  expect(again!.run_after - now).toBeLessThan(to)
})

test('a rate limit that the policy does not list ends the task', async () => {
  const { deps, ref, clock } = await setup({ max_attempts: 2, on: ['lost'] })
  expect(await finishTask(deps, ref, limited(clock.now() + hour))).toMatchObject({ status: 'failed', error_code: 'RATE_LIMITED' })
})

test.each([
  ['a class that the policy does not list', outcome('failed', { error_code: 'AGENT_ERROR' }), undefined],
  ['no attempt left', outcome('lost', { error_code: 'LOST' }), { max_attempts: 1, on: ['lost'] }],
])('with %s the task ends', async (_, end, retry) => {
  const { deps, ref } = await setup(retry)
  expect((await finishTask(deps, ref, end))?.status).toBe(end.status)
})

test('a task with a cancel request is not tried again', async () => {
  const { deps, ref, call, id } = await setup()
  await call('POST', `/v1/tasks/${id}/cancel`)
  expect((await finishTask(deps, ref, outcome('lost', { error_code: 'LOST' })))?.status).toBe('lost')
})

test('an older attempt changes nothing', async () => {
  const { deps, ref, id, start, clock } = await setup()
  await finishTask(deps, ref, outcome('lost', { error_code: 'LOST' }))
  clock.advance(60_000)
  await start(id)
  expect(await finishTask(deps, ref, outcome('succeeded'))).toMatchObject({ status: 'running', attempt: 2 })
})

test('a hub that is away does not hold the end back', async () => {
  const { deps, ref, logged } = await setup()
  Object.assign(deps.hubs, { poke: () => Promise.reject(new Error('away')) })
  expect((await finishTask(deps, ref, outcome('lost', { error_code: 'LOST' })))?.status).toBe('queued')
  expect(logged).toMatchObject([{ level: 'warn', phrase: 'hub was not poked' }])
})
