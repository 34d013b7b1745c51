import type { Problem } from '@rdev/shared/api/problem'
import { expect, test } from 'vitest'
import type { ConnectHandlers } from './connect.ts'
import { setup as setupApi } from '../testing/setup.ts'

const upgrade = { upgrade: 'websocket', connection: 'Upgrade' }

async function setup() {
  const connected: unknown[] = []
  const taken = (...what: unknown[]) => {
    connected.push(what)
    return new Response('taken', { headers: { 'x-kept': 'yes' } })
  }
  const connect: ConnectHandlers = { hub: (_, id) => taken('hub', id), attempt: (_, claims) => taken('attempt', claims) }
  const api = await setupApi({ connect })
  const { id } = await api.createTask()
  const claims = {
    kind: 'attempt',
    task_id: id,
    attempt: 1,
    cluster_id: 'home',
    epoch: 1,
    expires_at: api.clock.now() + 60_000,
  } as const
  const token = await api.deps.tokens.sign(claims)
  const cluster = await api.makeKey({ scopes: ['cluster:connect'], cluster_id: 'home' })
  return { ...api, connected, claims, token, cluster, line: `/v1/tasks/${id}/attempts/1/connect` }
}

test('a cluster connects with its own key', async () => {
  const { call, cluster, connected } = await setup()
  const response = await call('GET', '/v1/clusters/home/connect', { key: cluster.key, headers: upgrade })
  expect([response.status, await response.text(), response.headers.get('x-kept')]).toEqual([200, 'taken', 'yes'])
  expect(connected).toEqual([['hub', 'home']])
})

test('another cluster’s key, an ordinary key and even the admin key do not speak for a cluster', async () => {
  const { call, cluster, makeKey, connected } = await setup()
  const { key } = await makeKey()
  const status = async (id: string, key?: string) =>
    (await call('GET', `/v1/clusters/${id}/connect`, { headers: upgrade, ...(key && { key }) })).status
  expect(await status('away', cluster.key)).toBe(403)
  expect(await status('home', key)).toBe(403)
  expect(await status('home')).toBe(403)
  expect(connected).toEqual([])
})

test('a key with a list of projects does not connect: the socket would get the tasks of every project of the cluster', async () => {
  const { call, makeKey, connected } = await setup()
  // No such key can be made any more; an older row may be one.
  const { key } = await makeKey({ scopes: ['cluster:connect'], cluster_id: 'home', project_ids: ['demo'] })
  const response = await call('GET', '/v1/clusters/home/connect', { key, headers: upgrade })
  expect([response.status, (await response.json<Problem>()).code]).toEqual([403, 'FORBIDDEN'])
  expect(connected).toEqual([])
})

test('an attempt connects with its token', async () => {
  const { call, line, token, claims, connected } = await setup()
  expect((await call('GET', line, { key: token, headers: upgrade })).status).toBe(200)
  expect(connected).toEqual([['attempt', claims]])
})

test('a token opens its own attempt only, while it lasts', async () => {
  const { call, line, token, createTask, clock, deps, claims, connected } = await setup()
  const other = await createTask()
  const status = async (path: string, key: string) => (await call('GET', path, { key, headers: upgrade })).status
  expect(await status(line.replace('/1/', '/2/'), token)).toBe(403)
  expect(await status(line.replace(claims.task_id, other.id), token)).toBe(403)
  expect(await status(line.replace('/1/', '/01/'), token)).toBe(404)
  const ticket = await deps.tokens.sign({ kind: 'stream', task_id: claims.task_id, key_id: 'admin', expires_at: claims.expires_at })
  expect(await status(line, ticket)).toBe(401)
  clock.advance(60_000)
  expect(await status(line, token)).toBe(401)
  expect(connected).toEqual([])
})

test('a request that is no upgrade is answered 426', async () => {
  const { call, line, token, cluster } = await setup()
  for (const [path, key] of [
    [line, token],
    ['/v1/clusters/home/connect', cluster.key],
  ] as const) {
    const response = await call('GET', path, { key })
    expect([response.status, response.headers.get('upgrade')]).toEqual([426, 'websocket'])
    expect((await response.json<Problem>()).code).toBe('UPGRADE_REQUIRED')
  }
})
