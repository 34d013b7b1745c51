import { taskSchema } from '@rdev/shared/api/tasks'
import type { TaskView } from '@rdev/shared/api/tasks'
import type { Problem } from '@rdev/shared/api/problem'
import { expect, test } from 'vitest'
import { setup } from '../testing/setup.ts'

/** Lists, nested that deep. */
const nested = (depth: number): unknown => JSON.parse('['.repeat(depth) + ']'.repeat(depth))
const agentTask = { kind: 'agent', project_id: 'demo', prompt: 'say hello', env: { TOKEN: 'hidden' } }

test('a task is stored, answered 202 with its location, and the hub is poked; the first reader begins its log', async () => {
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

test('a task is answered when the hub was poked, or after a second if the hub does not answer', async () => {
  const { call, shellTask, deps } = await setup()
  const told = Promise.withResolvers<void>()
  const poked = Promise.withResolvers<void>()
  Object.assign(deps.hubs, {
    poke: () => {
      poked.resolve()
      return told.promise
    },
  })
  let answered = false
  const first = call('POST', '/v1/tasks', { body: shellTask }).finally(() => (answered = true))
  await poked.promise
  for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve))
  expect(answered).toBe(false)
  told.resolve()
  expect((await first).status).toBe(202)

  Object.assign(deps.hubs, { poke: () => new Promise<void>(() => {}) })
  expect((await call('POST', '/v1/tasks', { body: shellTask })).status).toBe(202)
})

test('prompt, command and environment of a task are never shown', async () => {
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

test('a task holds the workspace that it names, the usual one of its target, or none', async () => {
  const { createTask, shellTask } = await setup()
  const of = async (more: object) => (await createTask({ ...shellTask, ...more })).workspace
  expect(await of({})).toBe('main')
  expect(await of({ target: 'pool' })).toBeNull()
  expect(await of({ workspace: null })).toBeNull()
  expect(await of({ workspace: 'fix-7' })).toBe('fix-7')
  expect(await of({ target: 'pool', workspace: 'main' })).toBe('main')
  expect(await of({ kind: 'git', command: ['status'] })).toBe('main')
})

test('a session stays in the workspace in which it began', async () => {
  const { createTask, call } = await setup()
  const { session_id } = await createTask({ ...agentTask, workspace: 'fix-7' })
  expect(await (await call('GET', `/v1/sessions/${session_id}`)).json()).toMatchObject({ workspace: 'fix-7' })
  expect((await createTask({ ...agentTask, session_id })).workspace).toBe('fix-7')
  expect((await createTask({ ...agentTask, session_id, workspace: 'fix-7' })).workspace).toBe('fix-7')
  for (const workspace of ['main', null]) {
    const response = await call('POST', '/v1/tasks', { body: { ...agentTask, session_id, workspace } })
    const { code, errors } = await response.json<Problem>()
    expect([response.status, code, errors?.[0]?.pointer]).toEqual([409, 'CONFLICT', '/workspace'])
  }
  const free = await createTask({ ...agentTask, workspace: null })
  expect((await createTask({ ...agentTask, session_id: free.session_id })).workspace).toBeNull()
})

test('a task may be asked for later, at most 30 days ahead, and only if it may wait that long', async () => {
  const { call, createTask, shellTask, clock, logs, stores } = await setup()
  const inMs = (ms: number) => new Date(clock.now() + ms).toISOString()
  const later = await createTask({ ...shellTask, run_after: inMs(60_000) })
  expect(later.run_after).toBe(inMs(60_000))
  await call('GET', later.events_url)
  const [queued] = (await logs.page(later.id, 0, 1)).lines
  expect(JSON.parse(queued!.json)).toMatchObject({
    type: 'task.queued',
    data: { reason: 'later', run_after: inMs(60_000), workspace: 'main' },
  })
  expect((await createTask({ ...shellTask, run_after: inMs(-60_000) })).run_after).toBe(inMs(0))
  expect((await createTask({ ...shellTask, run_after: '2026-11-23T10:00:00+02:00' })).run_after).toBe(inMs(0))
  const ancient = await createTask({ ...shellTask, run_after: '0000-01-01T00:00:00Z' })
  expect((await stores.tasks.get(ancient.id, null))?.spec.run_after).toBeNull()
  expect((await createTask({ ...shellTask, run_after: inMs(30 * 86_400_000) })).status).toBe('queued')
  for (const [more, pointer] of [
    [{ run_after: inMs(30 * 86_400_000 + 1) }, '/run_after'],
    [{ run_after: 'tomorrow' }, '/run_after'],
    [{ run_after: '2026-02-30T00:00:00Z' }, '/run_after'],
    [{ run_after: clock.now() }, '/run_after'],
    [{ run_after: inMs(60_000), queue_ttl_s: 60 }, '/queue_ttl_s'],
  ] as const) {
    const response = await call('POST', '/v1/tasks', { body: { ...shellTask, ...more } })
    expect([response.status, (await response.json<Problem>()).errors?.[0]?.pointer]).toEqual([400, pointer])
  }
})

test('an ended task is done again by a new one that asks for the same', async () => {
  const { call, createTask, start, finish, clock } = await setup()
  const run_after = new Date(clock.now() + 1).toISOString()
  const asked = { ...agentTask, workspace: 'fix-7', priority: 3, labels: { a: 'b' }, metadata: { n: [1] }, run_after }
  const task = await createTask(asked)
  clock.advance(1)
  const retry = () => call('POST', `/v1/tasks/${task.id}/retry`)
  expect([(await retry()).status]).toEqual([409])
  await start(task.id)
  expect((await (await retry()).json<Problem>()).code).toBe('CONFLICT')
  await finish(task.id, { status: 'failed', error_code: 'AGENT_ERROR' })
  const ended = await (await call('GET', `/v1/tasks/${task.id}`)).json<TaskView>()

  const response = await retry()
  const again = await response.json<TaskView>()
  expect([response.status, response.headers.get('location')]).toEqual([202, `/v1/tasks/${again.id}`])
  const same = ['kind', 'project_id', 'provider', 'session_id', 'workspace', 'priority', 'target', 'labels', 'metadata'] as const
  for (const name of same) expect(again[name], name).toEqual(ended[name])
  expect(again).toMatchObject({ status: 'queued', attempt: 0, retry_of: task.id, run_after: again.created_at, error_code: null })
  expect(await (await call('GET', `/v1/tasks/${task.id}`)).json()).toEqual(ended)
  expect((await (await retry()).json<TaskView>()).id).not.toBe(again.id)
})

test('a task that was to run later is done again at once', async () => {
  const { call, createTask, shellTask, clock } = await setup()
  const { id } = await createTask({ ...shellTask, run_after: new Date(clock.now() + 3_600_000).toISOString() })
  await call('POST', `/v1/tasks/${id}/cancel`)
  const again = await (await call('POST', `/v1/tasks/${id}/retry`)).json<TaskView>()
  expect(again.run_after).toBe(again.created_at)
})

test('a task that may not be created may not be done again', async () => {
  const { call, createTask, makeKey, stores } = await setup()
  const task = await createTask({ ...agentTask, project_id: 'trusted', permission_mode: 'bypassPermissions' })
  await call('POST', `/v1/tasks/${task.id}/cancel`)
  const { key } = await makeKey({ project_ids: ['demo'] })
  expect((await call('POST', `/v1/tasks/${task.id}/retry`, { key })).status).toBe(404)
  expect((await call('POST', '/v1/tasks/task_01kamyp4e0c9q2t5w8z1x4v7r3/retry')).status).toBe(404)
  expect((await call('POST', `/v1/tasks/${task.id}/retry`)).status).toBe(202)
  const pod = { name: 'trusted-0', uid: 'u', role: 'project', project_id: 'trusted', ready: true, slots: 2, providers: [] } as const
  await stores.projects.report('home', [{ ...pod, allow_bypass_permissions: false }], [])
  expect((await call('POST', `/v1/tasks/${task.id}/retry`)).status).toBe(403)
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

test('the pool is refused unless the project may use it, in every way to queue a task', async () => {
  const { call, createTask, shellTask } = await setup()
  const body = { ...shellTask, project_id: 'trusted', target: 'pool' }
  const post = (path: string, sent: object) => call('POST', path, { body: sent })
  const refused = await post('/v1/tasks', body)
  const { code, detail, errors } = await refused.json<Problem>()
  expect([refused.status, code, errors?.map(({ pointer }) => pointer)]).toEqual([403, 'FORBIDDEN', ['/target']])
  expect(detail).toContain('allow_pool')
  expect((await post('/v1/projects/trusted/shell', { command: 'true', target: 'pool' })).status).toBe(403)
  const batch = await post('/v1/tasks/batch', { tasks: [body, { ...body, target: 'project' }, { ...body, project_id: 'demo' }] })
  const { results } = await batch.json<{ results: { status: number; problem?: Problem }[] }>()
  expect(results.map(({ status, problem }) => [status, problem?.code, problem?.errors?.map(({ pointer }) => pointer)])).toEqual([
    [403, 'FORBIDDEN', ['/tasks/0/target']],
    [202, undefined, undefined],
    [202, undefined, undefined],
  ])
  expect((await call('PATCH', '/v1/projects/trusted', { body: { allow_pool: true } })).status).toBe(200)
  const task = await createTask(body)
  await call('POST', `/v1/tasks/${task.id}/cancel`)
  await call('PATCH', '/v1/projects/trusted', { body: { allow_pool: false } })
  expect((await call('POST', `/v1/tasks/${task.id}/retry`)).status).toBe(403)
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
  ['more nesting than can be walked', { ...agentTask, metadata: { a: nested(64) } }, [`/metadata/a${'/0'.repeat(62)}`]],
  ['a workspace of a wrong name', { ...agentTask, workspace: '../up' }, ['/workspace']],
  ['a workspace without a name', { ...agentTask, workspace: '' }, ['/workspace']],
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

test('the short forms make the same task from a shorter body', async () => {
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
  expect(await post('shell', { command: 'true' })).toMatchObject({ kind: 'shell', provider: null, workspace: 'main' })
  expect(await post('shell', { command: 'true', workspace: null })).toMatchObject({ workspace: null })
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

test('cancel of a running task sends the cancel request on, each time; of an ended one it changes nothing', async () => {
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
  expect(kept.length).toBeGreaterThan(0)
  await Promise.all(kept)
  expect(logged.map(({ phrase }) => phrase)).toEqual(['hub was not poked'])
  expect((await call('GET', response.headers.get('location')!)).status).toBe(200)
})

test('an unknown task is a 404, whatever its id looks like', async () => {
  const { call } = await setup()
  for (const id of ['task_01kamyp4e0c9q2t5w8z1x4v7r3', 'junk', '%00', '%zz', '..%2f..']) {
    expect((await call('GET', `/v1/tasks/${id}`)).status).toBe(404)
  }
})

test.each(['0x10', '%2010', '10%20', '+5', '1e1', '', '-0', '1_0', '１', '5.', '.5', 'Infinity'])(
  'the number %s in a query is refused',
  async (number) => {
    const { call, createTask } = await setup()
    const { id } = await createTask()
    for (const path of [
      `/v1/tasks?limit=${number}`,
      `/v1/keys?limit=${number}`,
      `/v1/tasks/${id}?wait_s=${number}`,
      `/v1/tasks/${id}/events?after=${number}`,
      `/v1/tasks/${id}/events?limit=${number}`,
    ]) {
      const response = await call('GET', path)
      expect([response.status, (await response.json<Problem>()).code], path).toEqual([400, 'BAD_REQUEST'])
    }
  },
)

test('a number in a query is digits, with decimals where seconds are meant', async () => {
  const { call, createTask } = await setup()
  const { id } = await createTask()
  for (const query of [
    '/v1/tasks?limit=10',
    `/v1/tasks/${id}?wait_s=0.01`,
    `/v1/tasks/${id}?wait_s=0`,
    `/v1/tasks/${id}/events?after=1&limit=2`,
  ]) {
    expect((await call('GET', query)).status, query).toBe(200)
  }
})

test('a parameter named __proto__ is refused as every unknown one', async () => {
  const { call } = await setup()
  for (const query of ['__proto__=1', 'limit=1&__proto__=', 'colour=red']) {
    const response = await call('GET', `/v1/tasks?${query}`)
    const parameters = (await response.json<Problem>()).errors?.map(({ parameter }) => parameter)
    expect([response.status, parameters], query).toEqual([400, [query.includes('proto') ? '__proto__' : 'colour']])
  }
})
