import { maxBatchTasks, taskBatchSchema } from '@rdev/shared/api/batch'
import type { TaskBatchView } from '@rdev/shared/api/batch'
import type { Problem } from '@rdev/shared/api/problem'
import type { TaskView } from '@rdev/shared/api/tasks'
import { expect, test } from 'vitest'
import { setup as setupApi } from '../testing/setup.ts'
import type { Call } from '../testing/setup.ts'
import { maxBatchBytes } from '@rdev/shared/api/batch'

async function setup() {
  const api = await setupApi()
  const batch = async (tasks: readonly unknown[], options: Call = {}): Promise<TaskBatchView['results']> => {
    const response = await api.call('POST', '/v1/tasks/batch', { ...options, body: { tasks } })
    if (response.status !== 200) throw new Error(await response.text())
    return taskBatchSchema.parse(await response.json()).results
  }
  const agentTask = { kind: 'agent', project_id: 'demo', prompt: 'x' }
  return { ...api, agentTask, batch }
}

const taskOf = (result: TaskBatchView['results'][number] | undefined): TaskView => {
  if (!result || !('task' in result)) throw new Error(JSON.stringify(result))
  return result.task
}
const refusalOf = (result: TaskBatchView['results'][number] | undefined) =>
  result && 'problem' in result ? [result.status, result.problem.code, result.problem.errors?.map(({ pointer }) => pointer)] : result

test('each task is answered in its order, and a wrong one does not fail the others', async () => {
  const { agentTask, batch, call, shellTask } = await setup()
  const results = await batch([
    shellTask,
    { kind: 'shell', project_id: 'demo' },
    'no object',
    { ...shellTask, project_id: 'nowhere' },
    { ...shellTask, working_dir: '/etc' },
    { ...agentTask, permission_mode: 'bypassPermissions' },
    { ...agentTask, project_id: 'trusted', permission_mode: 'bypassPermissions' },
    { ...agentTask, session_id: 'ses_01kamyp4e0c9q2t5w8z1x4v7r3' },
    { ...agentTask, prompt: 'a NUL \u0000' },
    { ...shellTask, labels: { a: '\ud800' } },
    { ...shellTask, metadata: { a: JSON.parse('['.repeat(200) + ']'.repeat(200)) } },
    { ...shellTask, labels: { last: 'yes' } },
  ])
  expect(results.map(({ status }) => status)).toEqual([202, 400, 400, 404, 400, 403, 202, 404, 400, 400, 400, 202])
  expect(refusalOf(results[1])).toEqual([400, 'BAD_REQUEST', ['/tasks/1/command']])
  expect(refusalOf(results[2])).toEqual([400, 'BAD_REQUEST', ['/tasks/2']])
  expect(refusalOf(results[3])).toEqual([404, 'NOT_FOUND', undefined])
  expect(refusalOf(results[4])).toEqual([400, 'BAD_REQUEST', ['/tasks/4/working_dir']])
  expect(refusalOf(results[5])).toEqual([403, 'FORBIDDEN', ['/tasks/5/permission_mode']])
  expect(refusalOf(results[7])).toEqual([404, 'NOT_FOUND', ['/tasks/7/session_id']])
  expect(refusalOf(results[8])).toEqual([400, 'BAD_REQUEST', ['/tasks/8/prompt']])
  expect(refusalOf(results[9])).toEqual([400, 'BAD_REQUEST', ['/tasks/9/labels/a']])
  expect(taskOf(results[11]).labels).toEqual({ last: 'yes' })
  const listed = await (await call('GET', '/v1/tasks')).json<{ data: TaskView[] }>()
  expect(listed.data.map(({ id }) => id)).toEqual([11, 6, 0].map((i) => taskOf(results[i]).id))
})

test('a batch is one statement and one poke, and its order is that of the queue', async () => {
  const { batch, deps, hubs, shellTask, stores } = await setup()
  const counted = { inserts: 0, reads: 0 }
  const { insert } = stores.tasks
  Object.assign(deps.tasks, { insert: (...args: Parameters<typeof insert>) => (counted.inserts++, insert(...args)) })
  for (const store of [deps.sessions, deps.projects]) {
    const getMany = store.getMany as (...args: unknown[]) => Promise<unknown>
    Object.assign(store, { getMany: (...args: unknown[]) => (counted.reads++, getMany(...args)) })
  }
  const many = await batch(Array.from({ length: maxBatchTasks }, (_, i) => ({ ...shellTask, labels: { i: String(i) } })))
  expect(many.map((result) => taskOf(result).labels.i)).toEqual(Array.from({ length: maxBatchTasks }, (_, i) => String(i)))
  const ids = many.map((result) => taskOf(result).id)
  expect(ids).toEqual([...ids].sort())
  expect({ ...counted, pokes: hubs.pokes }).toEqual({ inserts: 1, reads: 0, pokes: ['home'] })

  const sessions = await batch(Array.from({ length: 3 }, () => ({ kind: 'agent', project_id: 'trusted', prompt: 'x' })))
  const follow = sessions.map((result) => ({
    kind: 'agent',
    project_id: 'trusted',
    prompt: 'y',
    permission_mode: 'bypassPermissions',
    session_id: taskOf(result).session_id,
  }))
  expect((await batch([...follow, ...follow])).every(({ status }) => status === 202)).toBe(true)
  expect(counted).toEqual({ inserts: 3, reads: 2 })
})

test('a key for one project queues into no other', async () => {
  const { batch, makeKey, shellTask } = await setup()
  const { key } = await makeKey({ project_ids: ['demo'] })
  const results = await batch([shellTask, { ...shellTask, project_id: 'other' }], { key })
  expect(results.map(({ status }) => status)).toEqual([202, 404])
})

test.each([
  ['no list', {}, ['/tasks']],
  ['an empty list', { tasks: [] }, ['/tasks']],
  ['one task too many', { tasks: Array.from({ length: maxBatchTasks + 1 }, () => ({})) }, ['/tasks']],
  ['something beside the list', { tasks: [{}], atomic: true }, ['/atomic']],
])('%s is refused as a whole', async (_, body, pointers) => {
  const { call } = await setup()
  const response = await call('POST', '/v1/tasks/batch', { body })
  const problem = await response.json<Problem>()
  expect([response.status, problem.errors?.map(({ pointer }) => pointer)]).toEqual([400, pointers])
})

test('a batch may be larger than a task, and has its own limit', async () => {
  const { batch, call, agentTask } = await setup()
  const large = { ...agentTask, prompt: 'x'.repeat(1_000_000) }
  expect((await batch(Array.from({ length: 3 }, () => large))).map(({ status }) => status)).toEqual(Array(3).fill(202))
  expect((await call('POST', '/v1/tasks/batch', { body: 'x'.repeat(maxBatchBytes + 1) })).status).toBe(413)
})
