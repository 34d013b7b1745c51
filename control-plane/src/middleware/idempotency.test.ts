import type { Problem } from '@rdev/shared/api/problem'
import type { TaskView } from '@rdev/shared/api/tasks'
import { expect, test } from 'vitest'
import { setup as setupApi } from '../testing/setup.ts'
import type { Call } from '../testing/setup.ts'
import { keepMs, takeOverMs } from './idempotency.ts'

async function setup() {
  const api = await setupApi()
  const post = async (path: string, body?: unknown, options: Call & { idempotencyKey?: string } = {}) => {
    const { idempotencyKey = 'the key', ...more } = options
    const response = await api.call('POST', path, { ...more, body, headers: { 'idempotency-key': idempotencyKey } })
    const text = await response.text()
    return {
      status: response.status,
      text,
      location: response.headers.get('location'),
      replayed: response.headers.get('idempotency-replayed'),
      retryAfter: response.headers.get('retry-after'),
      code: (JSON.parse(text) as Partial<Problem>).code,
      id: (JSON.parse(text) as Partial<TaskView>).id,
    }
  }
  const queued = async () => (await (await api.call('GET', '/v1/tasks')).json<{ data: TaskView[] }>()).data.map(({ id }) => id)
  /** The Worker dies after the rows were written: the client gets no answer, and no answer is stored. */
  const dieAfterInsert = () => {
    const { insert } = api.stores.tasks
    Object.assign(api.deps.tasks, {
      insert: async (...args: Parameters<typeof insert>) => {
        await insert(...args)
        Object.assign(api.deps.tasks, { insert })
        throw new Error('the Worker died')
      },
    })
  }
  return { ...api, dieAfterInsert, post, queued }
}

test('a request that is repeated is answered as the first was, and creates nothing', async () => {
  const { post, queued, shellTask, clock, call, hubs } = await setup()
  const first = await post('/v1/tasks', shellTask)
  expect([first.status, first.replayed]).toEqual([202, null])
  await call('POST', `/v1/tasks/${first.id}/cancel`)
  clock.advance(keepMs - 1)
  const again = await post('/v1/tasks', shellTask)
  expect(again).toEqual({ ...first, replayed: 'true' })
  expect(await queued()).toEqual([first.id])
  expect(hubs.pokes).toEqual(['home'])
  clock.advance(1)
  const later = await post('/v1/tasks', shellTask)
  expect([later.status, later.replayed]).toEqual([202, null])
  expect(later.id).not.toBe(first.id)
})

test('every route that creates takes it', async () => {
  const { post, queued, shellTask, call } = await setup()
  const { id } = await post('/v1/tasks', shellTask)
  await call('POST', `/v1/tasks/${id}/cancel`)
  for (const [path, body] of [
    ['/v1/tasks/batch', { tasks: [shellTask, { kind: 'nothing' }, shellTask] }],
    [`/v1/tasks/${id}/retry`, undefined],
    ['/v1/projects/demo/shell', { command: 'true' }],
    ['/v1/projects/demo/git', { command: ['status'] }],
    ['/v1/projects/demo/claude', { prompt: 'x' }],
    ['/v1/projects/demo/opencode', { prompt: 'x' }],
  ] as const) {
    const first = await post(path, body)
    expect(first.replayed, path).toBeNull()
    const before = await queued()
    expect(await post(path, body), path).toEqual({ ...first, replayed: 'true' })
    expect(await queued(), path).toEqual(before)
  }
  expect(await queued()).toHaveLength(8)
})

test('fifty at once create one task', async () => {
  const { post, queued, shellTask } = await setup()
  const answers = await Promise.all(Array.from({ length: 50 }, () => post('/v1/tasks', shellTask)))
  const [id] = await queued()
  expect(await queued()).toHaveLength(1)
  for (const { status, code, retryAfter, ...answer } of answers) {
    if (status === 202) expect(answer.id).toBe(id)
    else expect([status, code, retryAfter]).toEqual([409, 'IDEMPOTENCY_IN_FLIGHT', '1'])
  }
  expect(await post('/v1/tasks', shellTask)).toMatchObject({ status: 202, id, replayed: 'true' })
})

test('another body or path under the same key is refused, another caller or route is another request', async () => {
  const { post, shellTask, makeKey, queued } = await setup()
  const { id } = await post('/v1/tasks', shellTask)
  expect(await post('/v1/tasks', { ...shellTask, priority: 1 })).toMatchObject({ status: 422, code: 'IDEMPOTENCY_MISMATCH' })
  const { key } = await makeKey()
  const others = [await post('/v1/tasks', shellTask, { key }), await post('/v1/tasks', shellTask, { idempotencyKey: 'another' })]
  const shell = await post('/v1/projects/demo/shell', { command: 'true' })
  expect(new Set([id, ...others.map((other) => other.id), shell.id]).size).toBe(4)
  expect(await post('/v1/projects/other/shell', { command: 'true' })).toMatchObject({ status: 422, code: 'IDEMPOTENCY_MISMATCH' })
  expect(await queued()).toHaveLength(4)
})

test('a refused request leaves its key free', async () => {
  const { post, shellTask, call } = await setup()
  await call('POST', '/v1/tasks', { body: shellTask })
  await call('PATCH', '/v1/projects/demo', { body: { max_queued: 1 } })
  expect((await post('/v1/tasks', shellTask)).status).toBe(429)
  await call('PATCH', '/v1/projects/demo', { body: { max_queued: 100 } })
  expect(await post('/v1/tasks', shellTask)).toMatchObject({ status: 202, replayed: null })
  expect((await post('/v1/tasks', { ...shellTask, project_id: 'nowhere' }, { idempotencyKey: 'k' })).status).toBe(404)
  expect((await post('/v1/tasks', shellTask, { idempotencyKey: 'k' })).status).toBe(202)
  expect((await post('/v1/tasks', { kind: 'shell' }, { idempotencyKey: 'j' })).status).toBe(400)
  expect((await post('/v1/tasks', shellTask, { idempotencyKey: 'j' })).status).toBe(202)
})

test.each([
  ['/v1/tasks', { kind: 'agent', project_id: 'demo', prompt: 'x' }],
  [
    '/v1/tasks/batch',
    { tasks: Array.from({ length: 500 }, (_, i) => ({ kind: i % 2 ? 'agent' : 'nothing', project_id: 'demo', prompt: 'x' })) },
  ],
])('%s: the Worker died after the rows were written: whoever repeats the request gets those very tasks', async (path, body) => {
  const { post, queued, dieAfterInsert, clock, stores } = await setup()
  dieAfterInsert()
  expect((await post(path, body)).status).toBe(500)
  const before = await stores.tasks.list({ projects: null }, { limit: 200 })
  expect(before.data.length).toBeGreaterThan(0)
  // Nobody knows yet that it died.
  clock.advance(takeOverMs - 1)
  expect(await post(path, body)).toMatchObject({ status: 409, code: 'IDEMPOTENCY_IN_FLIGHT' })
  clock.advance(1)
  const again = await post(path, body)
  expect(again).toMatchObject({ replayed: null })
  const after = await stores.tasks.list({ projects: null }, { limit: 200 })
  expect(after.data.map(({ id }) => id)).toEqual(before.data.map(({ id }) => id))
  for (const id of await queued()) expect(again.text).toContain(id)
  const sessions = await stores.sessions.list({ projects: null }, { limit: 200 })
  expect(sessions.data).toHaveLength(after.data.length)
  expect(await post(path, body)).toEqual({ ...again, replayed: 'true' })
})

test('a late refusal does not free the key: another request may have taken over by then', async () => {
  const { post, shellTask, deps, stores, clock } = await setup()
  const { insert } = stores.tasks
  Object.assign(deps.tasks, {
    insert: async () => {
      clock.advance(takeOverMs - 1)
      return [{ refused: 'queue_full' }]
    },
  })
  expect((await post('/v1/tasks', shellTask)).status).toBe(429)
  Object.assign(deps.tasks, { insert })
  expect(await post('/v1/tasks', shellTask)).toMatchObject({ status: 409, code: 'IDEMPOTENCY_IN_FLIGHT' })
  clock.advance(1)
  expect((await post('/v1/tasks', shellTask)).status).toBe(202)
})

test('an answer that could not be stored is sent all the same, and repeating makes the same one', async () => {
  const { post, shellTask, deps, stores, clock, logged, queued } = await setup()
  const { finish } = stores.idempotency
  Object.assign(deps.idempotency, { finish: () => Promise.reject(new Error('away')) })
  const first = await post('/v1/tasks', shellTask)
  expect(first.status).toBe(202)
  expect(logged).toMatchObject([{ level: 'warn', phrase: 'idempotent answer was not kept' }])
  Object.assign(deps.idempotency, { finish })
  clock.advance(takeOverMs)
  expect(await post('/v1/tasks', shellTask)).toMatchObject({ status: 202, id: first.id })
  expect(await queued()).toEqual([first.id])
})

test.each([[''], ['x'.repeat(256)], ['tab\there'], ['é']])('the key %j is refused', async (idempotencyKey) => {
  const { post, shellTask, queued } = await setup()
  const refused = await post('/v1/tasks', shellTask, { idempotencyKey })
  expect([refused.status, refused.code, refused.text]).toEqual([
    400,
    'BAD_REQUEST',
    expect.stringContaining('"parameter":"Idempotency-Key"'),
  ])
  expect(await queued()).toEqual([])
})

test('each of 255 printable characters is a key', async () => {
  const { post, shellTask } = await setup()
  const printable = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join('')
  expect((await post('/v1/tasks', shellTask, { idempotencyKey: `x${printable}x` })).status).toBe(202)
  expect((await post('/v1/tasks', shellTask, { idempotencyKey: 'k'.repeat(255) })).status).toBe(202)
})

test('a request without a key, or of a route that creates nothing, is as ever', async () => {
  const { call, post, shellTask, createTask, queued } = await setup()
  await Promise.all([createTask(), createTask()])
  expect(await queued()).toHaveLength(2)
  const { id } = await post('/v1/tasks', shellTask)
  for (let i = 0; i < 2; i++) expect(await post(`/v1/tasks/${id}/cancel`)).toMatchObject({ status: 200, replayed: null })
  expect((await call('GET', '/v1/tasks', { headers: { 'idempotency-key': 'x'.repeat(300) } })).status).toBe(200)
})

test('a replayed answer has the headers of every answer', async () => {
  const { call, shellTask } = await setup()
  const headersOf = async () => {
    const response = await call('POST', '/v1/tasks', { body: shellTask, headers: { 'idempotency-key': 'once' } })
    const names = ['cache-control', 'content-type', 'location', 'x-content-type-options']
    const id = response.headers.get('x-request-id')
    return { id, replayed: response.headers.get('idempotency-replayed'), shown: names.map((name) => response.headers.get(name)) }
  }
  const [first, again] = [await headersOf(), await headersOf()]
  expect([first.replayed, again.replayed]).toEqual([null, 'true'])
  expect(again.shown).toEqual(first.shown)
  expect(again.shown).toEqual(['no-store', 'application/json', expect.stringContaining('/v1/tasks/task_'), 'nosniff'])
  expect(again.id).toMatch(/^req_/)
  expect(again.id).not.toBe(first.id)
})
