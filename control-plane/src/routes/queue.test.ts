import type { Problem } from '@rdev/shared/api/problem'
import { queueSchema } from '@rdev/shared/api/queue'
import type { QueueView } from '@rdev/shared/api/queue'
import { projectSchema } from '@rdev/shared/api/resources'
import type { TaskView } from '@rdev/shared/api/tasks'
import { projectDefaults } from '@rdev/shared/domain/project'
import { expect, test } from 'vitest'
import { setup as setupApi } from '../testing/setup.ts'

async function setup() {
  const api = await setupApi()
  const queue = async (query = '', key?: string): Promise<QueueView> =>
    queueSchema.parse(await (await api.call('GET', `/v1/queue${query}`, key === undefined ? {} : { key })).json())
  const head = async (query = '?project_id=demo') => (await queue(query)).lanes[0]?.head
  const patch = (body: object, project = 'demo') => api.call('PATCH', `/v1/projects/${project}`, { body })
  return { ...api, head, patch, queue }
}

test('the queue is shown by project and priority, deepest first', async () => {
  const { queue, createTask, shellTask, clock } = await setup()
  expect(await queue()).toEqual({ depth: 0, live: 0, oldest_at: null, lanes: [], more_lanes: false, clusters: [] })
  const first = await createTask({ ...shellTask, project_id: 'other', priority: 7 })
  clock.advance(1000)
  await createTask()
  const urgent = await createTask({ ...shellTask, priority: 1 })
  const found = await queue()
  expect(found).toMatchObject({ depth: 3, live: 0, oldest_at: first.created_at, clusters: [{ id: 'home', connected: true }] })
  expect(found.lanes).toEqual([
    {
      project_id: 'demo',
      cluster_id: 'home',
      depth: 2,
      live: 0,
      ...projectDefaults,
      oldest_at: urgent.created_at,
      priorities: [
        { priority: 1, depth: 1 },
        { priority: 100, depth: 1 },
      ],
      head: { task_id: urgent.id, reason: 'due', until: null, by: null },
    },
    expect.objectContaining({ project_id: 'other', depth: 1, priorities: [{ priority: 7, depth: 1 }] }),
  ])
})

test('a key sees its own projects, and a query picks one of them', async () => {
  const { queue, createTask, shellTask, makeKey } = await setup()
  const { key } = await makeKey({ project_ids: ['demo'] })
  await createTask()
  await createTask({ ...shellTask, project_id: 'other' })
  const projects = async (query: string, key?: string) => (await queue(query, key)).lanes.map(({ project_id }) => project_id)
  expect((await projects('')).sort()).toEqual(['demo', 'other'])
  expect(await projects('', key)).toEqual(['demo'])
  expect(await projects('?project_id=other', key)).toEqual([])
  expect(await projects('?project_id=other')).toEqual(['other'])
})

test('it says why the head waits: the rows first', async () => {
  const { head, createTask, shellTask, start, call, clock, patch, finish } = await setup()
  const run_after = new Date(clock.now() + 5_000).toISOString()
  const waiting = await createTask({ ...shellTask, run_after })
  expect(waiting.run_after).toBe(run_after)
  expect(await head()).toEqual({ task_id: waiting.id, reason: 'later', until: run_after, by: null })
  await call('POST', `/v1/tasks/${waiting.id}/cancel`)

  const holder = await createTask()
  await start(holder.id)
  const blocked = await createTask()
  expect(await head()).toEqual({ task_id: blocked.id, reason: 'workspace', until: null, by: holder.id })

  const free = await createTask({ ...shellTask, workspace: null, priority: 1 })
  expect(await head()).toMatchObject({ task_id: free.id, reason: 'due' })
  await patch({ max_running: 1 })
  expect(await head()).toMatchObject({ task_id: free.id, reason: 'max_running' })
  await call('POST', '/v1/projects/demo/pause')
  expect(await head()).toMatchObject({ task_id: free.id, reason: 'paused' })
  await finish(holder.id)
})

test('a task of a session waits for the one before it', async () => {
  const { head, createTask, start } = await setup()
  const agent = { kind: 'agent', project_id: 'demo', prompt: 'x', workspace: null }
  const first = await createTask(agent)
  await start(first.id)
  const { workspace: _, ...continued } = agent
  const second = await createTask({ ...continued, session_id: first.session_id })
  expect(await head()).toEqual({ task_id: second.id, reason: 'session', until: null, by: first.id })
})

test('where the rows give no reason, the hub does: no agent, no pod, no slot', async () => {
  const { head, createTask, shellTask, hubs } = await setup()
  await createTask()
  const { pods } = await hubs.status('home')
  const withPods = (change: (pod: (typeof pods)[number]) => Partial<(typeof pods)[number]>) =>
    hubs.connect(
      'home',
      '1',
      pods.map((pod) => ({ ...pod, ...change(pod) })),
    )
  expect(await head()).toMatchObject({ reason: 'due' })
  withPods(({ project_id }) => (project_id === 'demo' ? { running: 2 } : {}))
  expect(await head()).toMatchObject({ reason: 'no_place' })
  withPods(({ project_id }) => (project_id === 'demo' ? { ready: false } : {}))
  expect(await head()).toMatchObject({ reason: 'no_pod' })
  hubs.disconnect('home')
  expect(await head()).toMatchObject({ reason: 'agent_away' })

  await createTask({ ...shellTask, project_id: 'other', target: 'pool' })
  withPods(({ role }) => (role === 'worker' ? { running: 2 } : {}))
  expect(await head('?project_id=other')).toMatchObject({ reason: 'no_place' })
  withPods(({ role }) => (role === 'worker' ? { ready: false } : {}))
  expect(await head('?project_id=other')).toMatchObject({ reason: 'no_pod' })
})

test('a task of a session waits for the session’s pod, whatever others are free', async () => {
  const { head, createTask, start, finish, hubs } = await setup()
  const { pods } = await hubs.status('home')
  const agent = { kind: 'agent', project_id: 'demo', prompt: 'x', workspace: null }
  const first = await createTask(agent)
  await start(first.id)
  await finish(first.id, { provider_session_id: 'told' })
  await createTask({ kind: 'agent', project_id: 'demo', prompt: 'y', session_id: first.session_id })
  expect(await head()).toMatchObject({ reason: 'due' })
  hubs.connect(
    'home',
    '1',
    pods.map((pod) => (pod.project_id === 'demo' ? { ...pod, name: 'demo-1' } : pod)),
  )
  expect(await head()).toMatchObject({ reason: 'no_pod' })
})

test('a task of the pool waits where the project may not use it any more, and so does one that a worker’s conversation binds', async () => {
  const { head, createTask, shellTask, start, finish, patch } = await setup()
  const talking = await createTask({ kind: 'agent', project_id: 'demo', prompt: 'x', target: 'pool' })
  await start(talking.id)
  await finish(talking.id, { provider_session_id: 'told' })
  const pooled = await createTask({ ...shellTask, target: 'pool' })
  await patch({ allow_pool: false })
  expect(await head()).toEqual({ task_id: pooled.id, reason: 'pool_not_allowed', until: null, by: null })
  const more = await createTask({ kind: 'agent', project_id: 'demo', prompt: 'y', session_id: talking.session_id, priority: 1 })
  expect(await head()).toMatchObject({ task_id: more.id, reason: 'pool_not_allowed' })
  await patch({ allow_pool: true })
  expect(await head()).toMatchObject({ task_id: more.id, reason: 'due' })
})

test('limits of a project are set one by one, and the hub is told', async () => {
  const { call, patch, hubs } = await setup()
  const changed = projectSchema.parse(await (await patch({ weight: 200, max_running: 0 })).json())
  expect(changed).toMatchObject({ id: 'demo', weight: 200, max_running: 0, max_queued: projectDefaults.max_queued, paused: false })
  expect(hubs.pokes).toEqual(['home'])
  expect(await (await call('GET', '/v1/projects/demo')).json()).toEqual(changed)
  expect((await patch({ weight: 1 }, 'nowhere')).status).toBe(404)
})

test.each([
  [{}, ['']],
  [{ max_running: -1, weight: 0, max_queued: 1.5 }, ['/max_running', '/weight', '/max_queued']],
  [{ weight: 1001 }, ['/weight']],
  [{ max_running: null }, ['/max_running']],
  [{ weight: 1, paused: true, cluster_id: 'x' }, ['/paused', '/cluster_id']],
])('the limits %j are refused by name', async (body, pointers) => {
  const { patch } = await setup()
  const response = await patch(body)
  expect([response.status, (await response.json<Problem>()).errors?.map(({ pointer }) => pointer)]).toEqual([400, pointers])
})

test('pause and resume answer the project, and may be repeated', async () => {
  const { call, hubs, makeKey } = await setup()
  for (const [verb, paused] of [
    ['pause', true],
    ['pause', true],
    ['resume', false],
    ['resume', false],
  ] as const) {
    const response = await call('POST', `/v1/projects/demo/${verb}`)
    expect([response.status, await response.json()]).toEqual([200, expect.objectContaining({ id: 'demo', paused })])
  }
  expect(hubs.pokes).toEqual(['home', 'home'])
  const { key } = await makeKey({ project_ids: ['other'] })
  expect((await call('POST', '/v1/projects/demo/pause', { key })).status).toBe(404)
})

test('a full queue is a 429 that says when to come back; in a batch only the tasks beyond the limit get it', async () => {
  const { call, createTask, patch, shellTask } = await setup()
  await createTask()
  await patch({ max_queued: 3 })
  const batch = await call('POST', '/v1/tasks/batch', {
    body: { tasks: [shellTask, shellTask, shellTask, { ...shellTask, project_id: 'other' }] },
  })
  const { results } = await batch.json<{ results: { status: number; task?: TaskView; problem?: Problem }[] }>()
  expect(results.map(({ status }) => status)).toEqual([202, 202, 429, 202])
  expect(results[2]?.problem?.code).toBe('TOO_MANY_REQUESTS')
  const refused = await call('POST', '/v1/tasks', { body: shellTask })
  expect([refused.status, refused.headers.get('retry-after'), (await refused.json<Problem>()).detail]).toEqual([
    429,
    '5',
    expect.stringContaining('project demo'),
  ])
  await call('POST', `/v1/tasks/${results[0]!.task!.id}/cancel`)
  await createTask()
})
