import type { Problem } from '@rdev/shared/api/problem'
import { projectPageSchema, providerPageSchema, sessionPageSchema, workerPageSchema } from '@rdev/shared/api/resources'
import { expect, test } from 'vitest'
import { anActor } from '../testing/actor.ts'
import { maxBodyBytes } from '../middleware/validation.ts'
import { setup } from '../testing/setup.ts'

test('projects are listed and read, and a restricted key sees its own', async () => {
  const { call, makeKey } = await setup()
  const { key } = await makeKey({ project_ids: ['demo'] })
  const all = projectPageSchema.parse(await (await call('GET', '/v1/projects')).json())
  expect(all.data.map(({ id }) => id)).toEqual(['demo', 'other', 'trusted'])
  const mine = projectPageSchema.parse(await (await call('GET', '/v1/projects', { key })).json())
  expect(mine.data.map(({ id }) => id)).toEqual(['demo'])
  expect(await (await call('GET', '/v1/projects/trusted')).json()).toMatchObject({ pod: 'trusted-0', allow_bypass_permissions: true })
  expect((await call('GET', '/v1/projects/other', { key })).status).toBe(404)
})

test('an operator registers a project for a cluster, once, and its hub is told', async () => {
  const { call, hubs, makeKey } = await setup()
  const register = async (id: string, cluster_id: string, key?: string) => {
    const response = await call('POST', '/v1/projects', { ...(key && { key }), body: { id, cluster_id } })
    return [response.status, (await response.json<Problem & { cluster_id: string }>()).cluster_id ?? response.headers.get('location')]
  }
  expect(await register('fresh', 'home')).toEqual([201, 'home'])
  expect(await register('fresh', 'home')).toEqual([201, 'home'])
  expect(await register('fresh', 'away')).toEqual([409, null])
  expect(await register('Not A Label', 'home')).toEqual([400, null])
  expect(hubs.registered).toEqual(['home', 'home'])
  expect((await call('GET', '/v1/projects/fresh')).status).toBe(200)
  // Which cluster has a project concerns all of its projects.
  const { key } = await makeKey({ project_ids: ['mine'] })
  expect(await register('mine', 'home', key)).toEqual([403, null])
})

test('only a key of every project says whether a project may use the pool', async () => {
  const { call, makeKey } = await setup()
  const patch = async (body: object, key?: string) => {
    const response = await call('PATCH', '/v1/projects/trusted', { ...(key && { key }), body })
    return [response.status, await response.json<Problem & { allow_pool?: boolean }>()] as const
  }
  const shown = async () => (await (await call('GET', '/v1/projects/trusted')).json<{ allow_pool: boolean }>()).allow_pool
  expect(await shown()).toBe(false)
  const { key: restricted } = await makeKey({ project_ids: ['trusted'], scopes: ['admin'] })
  for (const allow_pool of [true, false]) {
    const [status, problem] = await patch({ weight: 7, allow_pool }, restricted)
    expect([status, problem.code, problem.errors?.map(({ pointer }) => pointer)]).toEqual([403, 'FORBIDDEN', ['/allow_pool']])
    expect(problem.detail).toContain('every project')
  }
  expect(await shown()).toBe(false)
  // Its other fields are the restricted key's as before.
  expect((await patch({ weight: 7 }, restricted))[0]).toBe(200)
  expect((await call('POST', '/v1/projects/trusted/pause', { key: restricted })).status).toBe(200)
  const { key } = await makeKey({ scopes: ['projects:write'] })
  expect(await patch({ allow_pool: true }, key)).toMatchObject([200, { allow_pool: true, weight: 7 }])
  expect(await shown()).toBe(true)
})

test('a project is registered with or without the pool; one that is there is changed only by a word about it', async () => {
  const { call } = await setup()
  const register = async (body: object) => {
    const response = await call('POST', '/v1/projects', { body: { cluster_id: 'home', ...body } })
    return [response.status, (await response.json<{ allow_pool?: boolean }>()).allow_pool]
  }
  expect(await register({ id: 'one' })).toEqual([201, false])
  expect(await register({ id: 'two', allow_pool: true })).toEqual([201, true])
  expect(await register({ id: 'two' })).toEqual([201, true])
  expect(await register({ id: 'two', allow_pool: false })).toEqual([201, false])
  expect(await register({ id: 'one', cluster_id: 'away', allow_pool: true })).toEqual([409, undefined])
  expect(await (await call('GET', '/v1/projects/one')).json()).toMatchObject({ allow_pool: false })
})

test('sessions are listed and read, and a restricted key sees its own', async () => {
  const { call, createTask, makeKey } = await setup()
  const { key } = await makeKey({ project_ids: ['demo'] })
  const mine = await createTask({ kind: 'agent', project_id: 'demo', prompt: 'x' })
  const foreign = await createTask({ kind: 'agent', project_id: 'other', prompt: 'x' })
  const list = async (query: string, options?: { key: string }) =>
    sessionPageSchema.parse(await (await call('GET', `/v1/sessions${query}`, options)).json()).data.map(({ id }) => id)
  expect((await list('')).sort()).toEqual([mine.session_id, foreign.session_id].sort())
  expect(await list('?project_id=other')).toEqual([foreign.session_id])
  expect(await list('', { key })).toEqual([mine.session_id])
  expect(await list('?project_id=other', { key })).toEqual([])
  expect(await (await call('GET', `/v1/sessions/${mine.session_id}`)).json()).toMatchObject({ project_id: 'demo' })
  expect((await call('GET', `/v1/sessions/${foreign.session_id}`, { key })).status).toBe(404)
})

test('a restricted key sees only clusters that one of its projects is in, whatever their pools are', async () => {
  const { call, makeKey, hubs, stores } = await setup()
  const [pool] = (await hubs.status('home')).pods.filter(({ project_id }) => project_id === null)
  await stores.projects.register('far', 'away', anActor())
  await stores.projects.register('empty', 'quiet', anActor())
  hubs.connect('away', '2.0.0', [{ ...pool!, name: 'away-0' }])
  const seen = async (project_ids: string[] | null) => {
    const { key } = await makeKey({ project_ids })
    const page = workerPageSchema.parse(await (await call('GET', '/v1/workers', { key })).json())
    return [page.clusters.map(({ id }) => id), page.data.map(({ name }) => name)]
  }
  expect(await seen(['far'])).toEqual([['away'], ['away-0']])
  expect(await seen(['empty', 'demo'])).toEqual([
    ['home', 'quiet'],
    ['demo-0', 'worker-0'],
  ])
  expect(await seen(['nowhere'])).toEqual([[], []])
  expect((await seen(null))[0]).toEqual(['away', 'home', 'quiet'])
})

test('a worker that is not ready says why, where its agent did', async () => {
  const { call, hubs } = await setup()
  const { pods } = await hubs.status('home')
  hubs.connect(
    'home',
    '1',
    pods.map((pod) => (pod.name === 'worker-0' ? { ...pod, ready: false, detail: 'it did not answer' } : pod)),
  )
  const { data } = workerPageSchema.parse(await (await call('GET', '/v1/workers')).json())
  expect(data.map(({ name, ready, detail }) => [name, ready, detail])).toEqual([
    ['demo-0', true, null],
    ['other-0', true, null],
    ['trusted-0', true, null],
    ['worker-0', false, 'it did not answer'],
  ])
})

test('workers are the pods of all clusters, and a restricted key sees its own and the pool', async () => {
  const { call, makeKey, hubs } = await setup()
  const { key } = await makeKey({ project_ids: ['demo'] })
  const all = workerPageSchema.parse(await (await call('GET', '/v1/workers')).json())
  expect(all.data.map(({ name }) => name)).toEqual(['demo-0', 'other-0', 'trusted-0', 'worker-0'])
  expect(all.clusters).toEqual([{ id: 'home', connected: true, agent_version: '1.0.0' }])
  const mine = workerPageSchema.parse(await (await call('GET', '/v1/workers', { key })).json())
  expect(mine.data.map(({ name }) => name)).toEqual(['demo-0', 'worker-0'])
  hubs.disconnect('home')
  const none = workerPageSchema.parse(await (await call('GET', '/v1/workers')).json())
  expect(none).toEqual({ data: [], next_cursor: null, clusters: [{ id: 'home', connected: false, agent_version: null }] })
})

test('providers are listed in their order, the first as default', async () => {
  const { call } = await setup()
  const page = providerPageSchema.parse(await (await call('GET', '/v1/providers')).json())
  expect(page.data.map((provider) => [provider.provider, provider.default])).toEqual([
    ['claude-code', true],
    ['opencode', false],
  ])
})

test('health needs nothing; ready needs the database', async () => {
  const well = await setup()
  expect(await (await well.call('GET', '/health', { key: null })).json()).toEqual({ status: 'ok' })
  expect(await (await well.call('GET', '/ready', { key: null })).json()).toEqual({ status: 'ready' })
  for (const ready of [async () => false, () => Promise.reject(new Error('away'))]) {
    const ill = await setup({ deps: { ready } })
    const response = await ill.call('GET', '/ready', { key: null })
    expect([response.status, (await response.json<Problem>()).code]).toEqual([503, 'SERVICE_UNAVAILABLE'])
    expect(response.headers.get('retry-after')).toBe('1')
    expect((await ill.call('GET', '/health', { key: null })).status).toBe(200)
  }
})

test('nothing at a path is a 404, another method there a 405 that says which', async () => {
  const { call } = await setup()
  const nothing = await call('GET', '/v1/nothing')
  expect([nothing.status, (await nothing.json<Problem>()).code]).toEqual([404, 'NOT_FOUND'])
  const wrong = await call('PATCH', '/v1/tasks')
  expect([wrong.status, (await wrong.json<Problem>()).code]).toEqual([405, 'METHOD_NOT_ALLOWED'])
  expect(wrong.headers.get('allow')).toBe('GET, POST')
  expect((await call('OPTIONS', '/v1/tasks', { headers: { origin: 'https://example.com' } })).status).toBe(405)
})

test('no other origin is allowed', async () => {
  const { call } = await setup()
  const response = await call('GET', '/v1/tasks', { headers: { origin: 'https://example.com' } })
  expect(response.headers.get('access-control-allow-origin')).toBeNull()
  expect(response.headers.get('x-content-type-options')).toBe('nosniff')
  expect(response.headers.get('cache-control')).toBe('no-store')
})

test('only JSON is read', async () => {
  const { call, shellTask } = await setup()
  const post = async (body: string, type: string) => (await call('POST', '/v1/tasks', { body, headers: { 'content-type': type } })).status
  expect(await post(JSON.stringify(shellTask), 'application/json; charset=utf-8')).toBe(202)
  expect(await post(JSON.stringify(shellTask), 'text/plain')).toBe(415)
  expect(await post('', 'application/json')).toBe(400)
  expect(await post('{', 'application/json')).toBe(400)
})

test('a body that is too large is refused, whether it says so or not, and one that is not UTF-8 too', async () => {
  const { app, call, deps } = await setup()
  const large = 'x'.repeat(maxBodyBytes)
  expect((await call('POST', '/v1/tasks', { body: { command: large } })).status).toBe(413)
  const send = (chunks: readonly (string | Uint8Array<ArrayBuffer>)[]) => {
    const body = new Blob([...chunks]).stream()
    const headers = { 'x-api-key': deps.adminKey!, 'content-type': 'application/json' }
    // Node asks for `duplex`, which the Workers' types do not know.
    const init = { method: 'POST', headers, body, duplex: 'half' }
    return app.request(new Request('http://localhost/v1/tasks', init))
  }
  const unsaid = await send([large, large])
  expect([unsaid.status, (await unsaid.json<Problem>()).code]).toEqual([413, 'PAYLOAD_TOO_LARGE'])
  expect((await send(['{"command":"', new Uint8Array([0xff, 0xfe]), '"}'])).status).toBe(400)
})

test('a bug is a plain 500, logged once without the parameters of the statement', async () => {
  const cause = new Error('duplicate key value')
  const broken = new Error('Failed query: insert …\nparams: the prompt', { cause })
  const { call, deps, logged, shellTask } = await setup()
  Object.assign(deps.tasks, { insert: () => Promise.reject(broken) })
  const response = await call('POST', '/v1/tasks', { body: shellTask })
  const problem = await response.json<Problem>()
  expect(problem).toEqual({
    type: 'about:blank',
    title: 'Something broke on our side',
    status: 500,
    detail: 'Something broke on our side',
    code: 'INTERNAL_ERROR',
    request_id: response.headers.get('x-request-id'),
  })
  expect(logged).toMatchObject([
    { level: 'error', phrase: 'request failed', fields: { reason: 'duplicate key value', route: '/v1/tasks' } },
  ])
  expect(JSON.stringify(logged)).not.toContain('the prompt')
  expect(logged[0]?.fields.request_id).toBe(problem.request_id)
})
