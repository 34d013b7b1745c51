import type { Problem } from '@rdev/shared/api/problem'
import { DomainError } from '@rdev/shared/domain/errors'
import { expect, test } from 'vitest'
import { anActor } from '../testing/actor.ts'
import type { ConnectHandlers } from './connect.ts'
import { setup as setupApi } from '../testing/setup.ts'

const upgrade = { upgrade: 'websocket', connection: 'Upgrade' }

async function setup() {
  const connected: unknown[] = []
  const taken = (...what: unknown[]) => {
    connected.push(what)
    return new Response('taken', { headers: { 'x-kept': 'yes' } })
  }
  const connect: ConnectHandlers = {
    hub: (_, id, { key_id }) => taken('hub', id, key_id),
    attempt: (_, claims, judgedAt) => taken('attempt', claims, judgedAt),
  }
  const api = await setupApi({ connect })
  const { id } = await api.createTask()
  const cluster = await api.makeKey({ scopes: ['cluster:connect'], cluster_id: 'home' })
  const claims = {
    kind: 'attempt',
    task_id: id,
    attempt: 1,
    cluster_id: 'home',
    epoch: 1,
    key_id: cluster.row.id,
    expires_at: api.clock.now() + 60_000,
  } as const
  const token = await api.deps.tokens.sign(claims)
  return { ...api, connected, claims, token, cluster, line: `/v1/tasks/${id}/attempts/1/connect` }
}

test('a cluster connects with its own key', async () => {
  const { call, cluster, connected } = await setup()
  const response = await call('GET', '/v1/clusters/home/connect', { key: cluster.key, headers: upgrade })
  expect([response.status, await response.text(), response.headers.get('x-kept')]).toEqual([200, 'taken', 'yes'])
  expect(connected).toEqual([['hub', 'home', cluster.row.id]])
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
  const { call, line, token, claims, connected, clock } = await setup()
  expect((await call('GET', line, { key: token, headers: upgrade })).status).toBe(200)
  expect(connected).toEqual([['attempt', claims, clock.now()]])
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

test('a token opens nothing when the key of its connection is revoked, ends, or does not speak for the cluster', async () => {
  const { call, line, claims, connected, deps, makeKey, cluster, clock, stores } = await setup()
  const open = async (key_id: string) => {
    const key = await deps.tokens.sign({ ...claims, key_id })
    return (await call('GET', line, { key, headers: upgrade })).status
  }
  const rights = { scopes: ['cluster:connect'], cluster_id: 'home' } as const
  expect(await open((await makeKey({ ...rights, revoked_at: clock.now() })).row.id)).toBe(401)
  expect(await open((await makeKey({ ...rights, expires_at: clock.now() })).row.id)).toBe(401)
  expect(await open((await makeKey({ ...rights, cluster_id: 'away' })).row.id)).toBe(401)
  expect(await open((await makeKey()).row.id)).toBe(401)
  expect(await open('')).toBe(401)
  expect(connected).toEqual([])
  expect(await open(cluster.row.id)).toBe(200)
  await stores.keys.revoke(cluster.row.id, anActor(), clock.now())
  clock.advance(5_000)
  expect(await open(cluster.row.id)).toBe(401)
})

test('while the database is away a line is let in, and its log is told that nobody judged the key', async () => {
  const { call, line, token, claims, connected, deps } = await setup()
  Object.assign(deps.keys, { get: () => Promise.reject(new DomainError('SERVICE_UNAVAILABLE')) })
  expect((await call('GET', line, { key: token, headers: upgrade })).status).toBe(200)
  expect(connected).toEqual([['attempt', claims, 0]])
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
