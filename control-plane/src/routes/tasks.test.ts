import { taskSchema } from '@rdev/shared/api/tasks'
import type { TaskView } from '@rdev/shared/api/tasks'
import type { Problem } from '@rdev/shared/api/problem'
import { expect, test } from 'vitest'
import { setup } from '../testing/setup.ts'

const agentTask = { kind: 'agent', project_id: 'demo', prompt: 'say hello', env: { TOKEN: 'hidden' } }

test('a task is kept, answered 202 with its place, and told to the hub; whoever reads its log begins it', async () => {
  const { call, shellTask, hubs, logs } = await setup()
  const response = await call('POST', '/v1/tasks', { body: { ...shellTask, labels: { team: 'a' }, metadata: { n: 1 } } })
  const task = await response.json<TaskView>()
  expect(response.status).toBe(202)
  expect(response.headers.get('location')).toBe(`/v1/tasks/${task.id}`)
  expect(task).toMatchObject({ kind: 'shell', status: 'queued', project_id: 'demo', attempt: 0, max_attempts: 1, cluster_id: 'home' })
  expect(task).toMatchObject({ labels: { team: 'a' }, metadata: { n: 1 }, events_url: `/v1/tasks/${task.id}/events`, session_id: null })
  expect(taskSchema.parse(task)).toEqual(task)
  expect(hubs.pokes).toEqual(['home'])
  expect((await logs.page(task.id, 0, 10)).lines).toEqual([])
  const page = await (await call('GET', task.events_url)).json<{ data: { type: string }[] }>()
  expect(page.data.map(({ type }) => type)).toEqual(['task.queued'])
})

test('what the task was given never reads back', async () => {
  const { call, createTask, shellTask } = await setup()
  const texts = [JSON.stringify(await createTask(agentTask)), JSON.stringify(await createTask({ ...shellTask, command: 'echo secret' }))]
  texts.push(await (await call('GET', '/v1/tasks')).text())
  for (const text of texts) expect(text).not.toMatch(/say hello|hidden|echo secret|"prompt"|"command"|"env"/)
})

test('an agent task without a session begins one, and another task continues it', async () => {
  const { createTask, call } = await setup()
  const first = await createTask(agentTask)
  expect(first.session_id).toMatch(/^ses_/)
  expect(first.provider).toBe('claude-code')
  const second = await createTask({ ...agentTask, session_id: first.session_id })
  expect(second.session_id).toBe(first.session_id)
  expect((await call('GET', `/v1/sessions/${first.session_id}`)).status).toBe(200)
})

test('a session stays in its project and with its provider', async () => {
  const { createTask, call } = await setup()
  const { session_id } = await createTask(agentTask)
  const post = async (more: object) => {
    const response = await call('POST', '/v1/tasks', { body: { ...agentTask, session_id, ...more } })
    const problem = await response.json<Problem>()
    return { status: response.status, pointer: problem.errors?.[0]?.pointer, code: problem.code }
  }
  expect(await post({ project_id: 'other' })).toEqual({ status: 409, pointer: '/session_id', code: 'CONFLICT' })
  expect(await post({ provider: 'opencode' })).toEqual({ status: 409, pointer: '/session_id', code: 'CONFLICT' })
  const unknown = 'ses_01kamyp4e0c9q2t5w8z1x4v7r3'
  expect(await post({ session_id: unknown })).toEqual({ status: 404, pointer: '/session_id', code: 'NOT_FOUND' })
  expect(await post({ session_id: 'junk' })).toEqual({ status: 400, pointer: '/session_id', code: 'BAD_REQUEST' })
})

test('bypassPermissions is refused unless the project allows it', async () => {
  const { call } = await setup()
  const post = (project_id: string) =>
    call('POST', '/v1/tasks', { body: { ...agentTask, project_id, permission_mode: 'bypassPermissions' } })
  const refused = await post('demo')
  expect(refused.status).toBe(403)
  expect((await refused.json<Problem>()).errors).toMatchObject([{ pointer: '/permission_mode' }])
  expect((await post('trusted')).status).toBe(202)
  expect((await post('nowhere')).status).toBe(404)
})

test('a project that does not exist, or is another’s, is a 404', async () => {
  const { call, shellTask, makeKey } = await setup()
  const { key } = await makeKey({ project_ids: ['demo'] })
  expect((await call('POST', '/v1/tasks', { body: { ...shellTask, project_id: 'nowhere' } })).status).toBe(404)
  expect((await call('POST', '/v1/tasks', { key, body: { ...shellTask, project_id: 'other' } })).status).toBe(404)
})

test.each([
  ['no kind', { project_id: 'demo' }, ['/kind']],
  ['no prompt', { kind: 'agent', project_id: 'demo' }, ['/prompt']],
  ['an empty prompt', { ...agentTask, prompt: '  ' }, ['/prompt']],
  ['no command', { kind: 'shell', project_id: 'demo' }, ['/command']],
  ['git with a text', { kind: 'git', project_id: 'demo', command: 'status' }, ['/command']],
  ['too long a timeout', { ...agentTask, timeout_s: 86_401 }, ['/timeout_s']],
  ['unknown fields', { ...agentTask, color: 'red', size: 2 }, ['/color', '/size']],
  ['an unknown field inside', { ...agentTask, retry: { max_attempts: 2, when: [] } }, ['/retry/when']],
  ['a name that needs escaping', { ...agentTask, 'a/b~c': 1 }, ['/a~1b~0c']],
  ['a reserved variable', { ...agentTask, env: { RDEV_X: '1' } }, ['/env/RDEV_X']],
  ['a prompt for the shell', { kind: 'shell', project_id: 'demo', command: 'true', prompt: 'x' }, ['/prompt']],
  ['a way out of the project', { ...agentTask, working_dir: 'a/../../b' }, ['/working_dir']],
  ['an absolute directory', { ...agentTask, working_dir: '/etc' }, ['/working_dir']],
  ['a NUL in a label', { ...agentTask, labels: { a: 'x\u0000' } }, ['/labels/a']],
  ['a lone surrogate in metadata', { ...agentTask, metadata: { a: ['\ud800'] } }, ['/metadata/a/0']],
  ['no object at all', [], ['']],
])('a body with %s names the field', async (_, body, pointers) => {
  const { call } = await setup()
  const response = await call('POST', '/v1/tasks', { body })
  const problem = await response.json<Problem>()
  expect(response.status).toBe(400)
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  expect(problem).toMatchObject({ type: 'about:blank', code: 'BAD_REQUEST', status: 400 })
  expect(problem.request_id).toBe(response.headers.get('x-request-id'))
  expect(problem.errors?.map(({ pointer }) => pointer)).toEqual(pointers)
})

test('the short forms are the same task with less to write', async () => {
  const { call } = await setup()
  const post = async (name: string, body: object) => {
    const response = await call('POST', `/v1/projects/demo/${name}`, { body })
    expect(response.status).toBe(202)
    const task = await response.json<TaskView>()
    expect(response.headers.get('location')).toBe(`/v1/tasks/${task.id}`)
    return task
  }
  expect(await post('claude', { prompt: 'x' })).toMatchObject({ kind: 'agent', provider: 'claude-code', project_id: 'demo' })
  expect(await post('opencode', { prompt: 'x' })).toMatchObject({ kind: 'agent', provider: 'opencode', project_id: 'demo' })
  expect(await post('shell', { command: 'true' })).toMatchObject({ kind: 'shell', provider: null })
  expect(await post('git', { command: ['status'] })).toMatchObject({ kind: 'git', provider: null })
})

test.each(['claude', 'opencode', 'shell', 'git'])('the short form %s names wrong and unknown fields', async (name) => {
  const { call } = await setup()
  const response = await call('POST', `/v1/projects/demo/${name}`, { body: { project_id: 'other' } })
  const pointers = (await response.json<Problem>()).errors?.map(({ pointer }) => pointer)
  expect(response.status).toBe(400)
  expect(pointers).toContain('/project_id')
  expect(pointers).toContain(name === 'claude' || name === 'opencode' ? '/prompt' : '/command')
})

test('lists come in pages, newest first, and filter', async () => {
  const { call, createTask, clock, shellTask } = await setup()
  const ids: string[] = []
  for (let i = 0; i < 5; i++) {
    ids.unshift((await createTask({ ...shellTask, project_id: i === 2 ? 'other' : 'demo' })).id)
    clock.advance(1)
  }
  const seen: string[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const page: { data: TaskView[]; next_cursor: string | null } = await (
      await call('GET', `/v1/tasks?limit=2${cursor && `&cursor=${cursor}`}`)
    ).json()
    seen.push(...page.data.map(({ id }) => id))
    cursor = page.next_cursor
  }
  expect(seen).toEqual(ids)
  const other = await (await call('GET', '/v1/tasks?project_id=other&status=queued&kind=shell')).json<{ data: TaskView[] }>()
  expect(other.data.map(({ id }) => id)).toEqual([ids[2]])
})

test.each([
  ['limit=0', 'limit'],
  ['limit=x', 'limit'],
  ['status=done', 'status'],
  ['color=red', 'color'],
  ['cursor=%00', 'cursor'],
  ['kind=shell&kind=git', 'kind'],
])('the query %s names the parameter', async (query, parameter) => {
  const { call } = await setup()
  const response = await call('GET', `/v1/tasks?${query}`)
  expect(response.status).toBe(400)
  expect((await response.json<Problem>()).errors).toMatchObject([{ parameter }])
})

test('waiting for a task answers as soon as it has ended', async () => {
  const { call, createTask, start, finish } = await setup()
  const { id } = await createTask()
  await start(id)
  const waiting = call('GET', `/v1/tasks/${id}?wait_s=60`)
  await finish(id, { result: 'done' })
  expect(await (await waiting).json()).toMatchObject({ status: 'succeeded', result: 'done', exit_code: 0 })
})

test('waiting for a task that goes on answers it as it is', async () => {
  const { call, createTask } = await setup()
  const { id } = await createTask()
  expect(await (await call('GET', `/v1/tasks/${id}?wait_s=0.01`)).json()).toMatchObject({ status: 'queued' })
  expect((await call('GET', `/v1/tasks/${id}?wait_s=61`)).status).toBe(400)
})

test('cancel ends a queued task at once, and its log says so', async () => {
  const { call, createTask, logs } = await setup()
  const { id } = await createTask()
  const response = await call('POST', `/v1/tasks/${id}/cancel`)
  expect(response.status).toBe(200)
  expect(await response.json()).toMatchObject({ status: 'cancelled', error_code: 'CANCELLED' })
  expect((await logs.page(id, 0, 10)).lines.at(-1)?.type).toBe('task.finished')
  expect(logs.cancels).toEqual([])
})

test('cancel of a running task passes the wish on, each time; of an ended one it changes nothing', async () => {
  const { call, createTask, start, finish, logs } = await setup()
  const { id } = await createTask()
  await start(id)
  for (let i = 0; i < 2; i++) {
    const view = await (await call('POST', `/v1/tasks/${id}/cancel`)).json<TaskView>()
    expect(view.status).toBe('running')
    expect(view.cancel_requested_at).not.toBeNull()
  }
  expect(logs.cancels).toEqual([
    { task_id: id, grace_s: 10 },
    { task_id: id, grace_s: 10 },
  ])
  await finish(id, { status: 'succeeded' })
  expect(await (await call('POST', `/v1/tasks/${id}/cancel`)).json()).toMatchObject({ status: 'succeeded' })
  expect(logs.cancels).toHaveLength(2)
})

test('a hub that is away delays no answer and loses no task', async () => {
  const away = () => Promise.reject(new Error('away'))
  const { app, call, shellTask, deps, logged } = await setup()
  Object.assign(deps.hubs, { poke: away })
  const kept: Promise<unknown>[] = []
  const response = await app.request(
    '/v1/tasks',
    {
      method: 'POST',
      headers: { 'x-api-key': deps.adminKey!, 'content-type': 'application/json' },
      body: JSON.stringify(shellTask),
    },
    {},
    { waitUntil: (work) => void kept.push(work), passThroughOnException: () => undefined, props: {} },
  )
  expect(response.status).toBe(202)
  expect(kept).toHaveLength(1)
  await Promise.all(kept)
  expect(logged.map(({ phrase }) => phrase)).toEqual(['hub was not poked'])
  expect((await call('GET', response.headers.get('location')!)).status).toBe(200)
})

test('a task that nobody has is a 404, whatever its id looks like', async () => {
  const { call } = await setup()
  for (const id of ['task_01kamyp4e0c9q2t5w8z1x4v7r3', 'junk', '%00', '%zz', '..%2f..']) {
    expect((await call('GET', `/v1/tasks/${id}`)).status).toBe(404)
  }
})
