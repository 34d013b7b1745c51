import type { Problem } from '@rdev/shared/api/problem'
import { createdKeySchema, keyPageSchema, keySchema, revokedKeySchema } from '@rdev/shared/api/resources'
import { serviceWideScopes } from '@rdev/shared/domain/api-key'
import type { z } from 'zod'
import { expect, test } from 'vitest'
import { anActor } from '../testing/actor.ts'
import { setup } from '../testing/setup.ts'

type CreatedKey = z.infer<typeof createdKeySchema>
type Key = z.infer<typeof keySchema>

test('a new key works, is shown once, and only its hash is kept', async () => {
  const { call, stores } = await setup()
  const response = await call('POST', '/v1/keys', { body: { name: 'bot', scopes: ['tasks:read', 'tasks:read'] } })
  const created = createdKeySchema.parse(await response.json())
  expect(response.status).toBe(201)
  expect(response.headers.get('location')).toBe(`/v1/keys/${created.id}`)
  expect(created).toMatchObject({ name: 'bot', scopes: ['tasks:read'], project_ids: null, prefix: created.key.slice(8, 16) })
  expect((await call('GET', '/v1/tasks', { key: created.key })).status).toBe(200)

  const read = await (await call('GET', `/v1/keys/${created.id}`)).text()
  expect(keySchema.parse(JSON.parse(read))).toEqual(JSON.parse(read))
  expect(read).not.toContain(created.key)
  const row = (await stores.keys.get(created.id, null))!
  expect(JSON.stringify(row)).not.toContain(created.key)
  expect(row.hash).toMatch(/^[0-9a-f]{64}$/)
})

test.each([
  ['no scopes', { name: 'x', scopes: [] }, ['/scopes']],
  ['an unknown scope', { name: 'x', scopes: ['root'] }, ['/scopes/0']],
  ['an unknown field', { name: 'x', scopes: ['tasks:read'], role: 'x' }, ['/role']],
  ['a cluster without its scope', { name: 'x', scopes: ['tasks:read'], cluster_id: 'home' }, ['/cluster_id']],
  ['the scope without its cluster', { name: 'x', scopes: ['cluster:connect'] }, ['/cluster_id']],
  ['an end in the past', { name: 'x', scopes: ['tasks:read'], expires_at: '2020-01-01T00:00:00.000Z' }, ['/expires_at']],
])('a key with %s is refused by the field', async (_, body, pointers) => {
  const { call } = await setup()
  const response = await call('POST', '/v1/keys', { body })
  expect(response.status).toBe(400)
  expect((await response.json<Problem>()).errors?.map(({ pointer }) => pointer)).toEqual(pointers)
})

test('a key gives no scope or project that it lacks', async () => {
  const { call, makeKey } = await setup()
  const { key } = await makeKey({ scopes: ['keys:write', 'tasks:read', 'cluster:connect'], project_ids: ['demo'], cluster_id: 'home' })
  const create = async (more: object) => {
    const response = await call('POST', '/v1/keys', { key, body: { name: 'x', scopes: ['tasks:read'], ...more } })
    const body = await response.json<Problem & CreatedKey>()
    return [response.status, body.errors?.[0]?.pointer ?? body.project_ids]
  }
  expect(await create({ scopes: ['tasks:write'] })).toEqual([403, '/scopes'])
  expect(await create({ scopes: ['admin'] })).toEqual([403, '/scopes'])
  expect(await create({ scopes: ['cluster:connect'], cluster_id: 'away' })).toEqual([403, '/scopes'])
  // A cluster's socket gets the tasks of all its projects, so no list bounds it.
  expect(await create({ scopes: ['cluster:connect'], cluster_id: 'home' })).toEqual([403, '/scopes'])
  expect(await create({ project_ids: ['demo', 'other'] })).toEqual([403, '/project_ids'])
  expect(await create({ project_ids: ['demo'] })).toEqual([201, ['demo']])
  // "Every project" means every project of the creating key.
  expect(await create({ project_ids: null })).toEqual([201, ['demo']])
})

test.each(serviceWideScopes)('only a caller of every project gives %s, and a key with a list of projects cannot have it', async (scope) => {
  const { call, makeKey } = await setup()
  const cluster = scope === 'cluster:connect' ? { cluster_id: 'home' } : {}
  const create = async (key: string | undefined, more: object = {}) => {
    const response = await call('POST', '/v1/keys', { ...(key && { key }), body: { name: 'x', scopes: [scope], ...cluster, ...more } })
    return [response.status, (await response.json<Problem>()).errors?.[0]?.pointer]
  }
  const restricted = await makeKey({ scopes: ['admin'], project_ids: ['other'] })
  expect(await create(restricted.key)).toEqual([403, '/scopes'])
  expect(await create(undefined, { project_ids: ['other'] })).toEqual([400, '/project_ids'])
  expect(await create(undefined)).toEqual([201, undefined])
  const everywhere = await makeKey({ scopes: ['admin'] })
  expect(await create(everywhere.key)).toEqual([201, undefined])
})

test('a key that ends gives no key that outlives it', async () => {
  const { call, makeKey, clock } = await setup()
  const ends = clock.now() + 60_000
  const { key } = await makeKey({ expires_at: ends, scopes: ['keys:write', 'tasks:read'] })
  const create = async (expires_at: number | null) => {
    const body = { name: 'x', scopes: ['tasks:read'], expires_at: expires_at === null ? null : new Date(expires_at).toISOString() }
    const response = await call('POST', '/v1/keys', { key, body })
    const made = await response.json<Problem & CreatedKey>()
    return [response.status, made.errors?.[0]?.pointer ?? Date.parse(made.expires_at!)]
  }
  expect(await create(ends + 1)).toEqual([403, '/expires_at'])
  expect(await create(ends)).toEqual([201, ends])
  expect(await create(ends - 1)).toEqual([201, ends - 1])
  // "No end" means the end of the creating key, as "every project" means its projects.
  expect(await create(null)).toEqual([201, ends])
})

test('revoking a key tells which keys it made, and takes them along if asked', async () => {
  const { call, makeKey, clock } = await setup()
  const parent = await makeKey()
  const make = async (key: string, name: string) =>
    (await call('POST', '/v1/keys', { key, body: { name, scopes: ['keys:write', 'tasks:read'] } })).json<CreatedKey>()
  const child = await make(parent.key, 'child')
  const grandchild = await make(child.key, 'grandchild')
  const sister = await makeKey()
  const revoke = async (query: string, id = parent.row.id) =>
    (await (await call('POST', `/v1/keys/${id}/revoke${query}`)).json<Key & { made_keys: Key[] }>()).made_keys.map(({ name }) => name)
  const status = async (key: string) => (await call('GET', '/v1/tasks', { key })).status

  expect(await revoke('')).toEqual(['grandchild', 'child'])
  expect([await status(parent.key), await status(child.key), await status(grandchild.key)]).toEqual([401, 200, 200])
  expect(await revoke('?made_keys=keep')).toEqual(['grandchild', 'child'])
  // A revoked key in between does not hide what it made.
  expect(await revoke('', child.id)).toEqual(['grandchild'])
  expect(await revoke('')).toEqual(['grandchild'])
  expect(await revoke('?made_keys=revoke')).toEqual([])
  expect([await status(child.key), await status(grandchild.key), await status(sister.key)]).toEqual([401, 401, 200])
  clock.advance(1)
  expect(await revoke('?made_keys=revoke')).toEqual([])
  expect((await call('POST', `/v1/keys/${parent.row.id}/revoke?made_keys=perhaps`)).status).toBe(400)
})

test('a key that was revoked a moment ago makes none, also where it is remembered as valid', async () => {
  const { call, makeKey, stores, clock } = await setup()
  const { key, row } = await makeKey()
  expect((await call('GET', '/v1/tasks', { key })).status).toBe(200)
  // By another isolate.
  await stores.keys.revoke(row.id, anActor(), clock.now())
  const response = await call('POST', '/v1/keys', { key, body: { name: 'x', scopes: ['tasks:read'] } })
  expect([response.status, (await response.json<Problem>()).code]).toEqual([401, 'KEY_REVOKED'])
  expect(await stores.keys.madeBy(row.id, null, clock.now())).toEqual([])
})

test('only the key of a cluster names projects for it, and gives no more names than it has', async () => {
  const { call, makeKey } = await setup()
  const cluster = { scopes: ['cluster:connect'], cluster_id: 'home' } as const
  const create = async (body: object, key?: string) => {
    const response = await call('POST', '/v1/keys', { ...(key && { key }), body: { name: 'x', ...cluster, ...body } })
    const made = await response.json<Problem & CreatedKey>()
    return [response.status, made.errors?.[0]?.pointer ?? made.cluster_project_ids]
  }
  expect(await create({ cluster_project_ids: ['shop', 'blog'] })).toEqual([201, ['shop', 'blog']])
  expect(await create({})).toEqual([201, []])
  expect(await create({ cluster_project_ids: ['Not A Label'] })).toEqual([400, '/cluster_project_ids/0'])
  expect(await create({ scopes: ['tasks:read'], cluster_id: null, cluster_project_ids: ['shop'] })).toEqual([400, '/cluster_project_ids'])
  const { key } = await makeKey({ scopes: ['keys:write', 'cluster:connect'], cluster_id: 'home', cluster_project_ids: ['shop'] })
  expect(await create({ cluster_project_ids: ['shop'] }, key)).toEqual([201, ['shop']])
  expect(await create({ cluster_project_ids: ['shop', 'blog'] }, key)).toEqual([403, '/cluster_project_ids'])
})

test('a revoked key is refused at once here, within 5 s elsewhere, and revoking again changes nothing', async () => {
  const { call, makeKey, clock, stores } = await setup()
  for (const [method, path] of [
    ['DELETE', ''],
    ['POST', '/revoke'],
  ] as const) {
    const { key, row } = await makeKey()
    expect((await call('GET', '/v1/tasks', { key })).status).toBe(200)
    const revoked = await (await call(method, `/v1/keys/${row.id}${path}`)).json<Key>()
    expect(revokedKeySchema.parse(revoked)).toEqual(revoked)
    expect(revoked.revoked_at).not.toBeNull()
    const refused = await call('GET', '/v1/tasks', { key })
    expect([refused.status, (await refused.json<Problem>()).code]).toEqual([401, 'KEY_REVOKED'])
    clock.advance(1000)
    expect(await (await call(method, `/v1/keys/${row.id}${path}`)).json()).toEqual(revoked)
  }

  const { key, row } = await makeKey()
  await call('GET', '/v1/tasks', { key })
  await stores.keys.revoke(row.id, anActor(), clock.now())
  clock.advance(5_000)
  expect((await call('GET', '/v1/tasks', { key })).status).toBe(401)
})

test('the hub is told of a revoked key of its cluster, also of one that is taken along', async () => {
  const { call, makeKey, hubs } = await setup()
  const parent = await makeKey()
  const cluster = await makeKey({ scopes: ['cluster:connect'], cluster_id: 'home', created_by: parent.row.id })
  await call('POST', `/v1/keys/${parent.row.id}/revoke`)
  expect(hubs.revoked).toEqual([])
  await call('POST', `/v1/keys/${parent.row.id}/revoke?made_keys=revoke`)
  expect(hubs.revoked).toEqual([['home', cluster.row.id]])
})

test('a key is looked up once in 5 s, and a malformed one never', async () => {
  const { call, makeKey, deps, clock } = await setup()
  let queries = 0
  const { findByPrefix } = deps.keys
  Object.assign(deps.keys, { findByPrefix: (prefix: string) => (queries++, findByPrefix(prefix)) })
  const { key } = await makeKey()
  const changed = `${key.slice(0, -1)}${key.endsWith('A') ? 'B' : 'A'}`
  for (const junk of ['x', changed, 'rdev_sk_short', ' ']) await call('GET', '/v1/tasks', { key: junk })
  expect(queries).toBe(0)
  for (let i = 0; i < 3; i++) await call('GET', '/v1/tasks', { key })
  expect(queries).toBe(1)
  clock.advance(5_000)
  await call('GET', '/v1/tasks', { key })
  expect(queries).toBe(2)
})

test('X-API-Key does what Bearer does', async () => {
  const { call, makeKey } = await setup()
  const { key } = await makeKey()
  expect((await call('GET', '/v1/tasks', { key: null, headers: { 'x-api-key': key } })).status).toBe(200)
  expect((await call('GET', '/v1/tasks', { key: null, headers: { authorization: 'Basic abc', 'x-api-key': key } })).status).toBe(200)
  const refused = await call('GET', '/v1/tasks', { key: null, headers: { authorization: key } })
  expect(refused.status).toBe(401)
  expect(refused.headers.get('www-authenticate')).toContain('Bearer')
})

test('a key sees and revokes only keys inside its own projects and scopes, and itself', async () => {
  const { call, makeKey } = await setup()
  const mine = await makeKey({ project_ids: ['demo'], scopes: ['keys:read', 'keys:write'] })
  const inside = await makeKey({ project_ids: ['demo'], scopes: ['keys:read'] })
  const stronger = await makeKey({ project_ids: ['demo'], scopes: ['tasks:write'] })
  const foreign = await makeKey({ project_ids: ['other'], scopes: ['keys:read'] })
  const everywhere = await makeKey({ scopes: ['keys:read'] })
  const { key } = mine

  const page = keyPageSchema.parse(await (await call('GET', '/v1/keys', { key })).json())
  expect(page.data.map(({ id }) => id).sort()).toEqual([mine.row.id, inside.row.id, stronger.row.id].sort())
  const status = async (method: string, { row }: { row: { id: string } }) => (await call(method, `/v1/keys/${row.id}`, { key })).status
  expect(await status('GET', foreign)).toBe(404)
  expect(await status('DELETE', foreign)).toBe(404)
  expect(await status('DELETE', everywhere)).toBe(404)
  expect(await status('DELETE', stronger)).toBe(403)
  expect(await status('DELETE', inside)).toBe(200)
  expect(await status('DELETE', mine)).toBe(200)
  expect(await status('GET', mine)).toBe(401)
})

test('a restricted key gets whole pages of what it sees', async () => {
  const { call, makeKey } = await setup()
  const { key, row } = await makeKey({ project_ids: ['demo'], scopes: ['keys:read'] })
  const visible = [row.id]
  for (let i = 0; i < 3; i++) {
    await makeKey({ project_ids: ['other'] })
    visible.push((await makeKey({ project_ids: ['demo'] })).row.id)
    await makeKey()
  }
  const page = keyPageSchema.parse(await (await call('GET', '/v1/keys?limit=2', { key })).json())
  expect(page.data).toHaveLength(2)
  // The cursor is the id of a key that it sees, and of no other.
  expect(page.next_cursor).toBe(page.data[1]!.id)
  const rest = keyPageSchema.parse(await (await call('GET', `/v1/keys?limit=2&cursor=${page.next_cursor}`, { key })).json())
  expect([...page.data, ...rest.data].map(({ id }) => id)).toEqual(visible.toSorted().toReversed())
  expect(rest.next_cursor).toBeNull()
})

test('without an admin key in the environment no other key replaces it', async () => {
  const { call } = await setup({ deps: { adminKey: null } })
  expect((await call('GET', '/v1/tasks')).status).toBe(401)
  expect((await call('GET', '/v1/tasks', { key: 'null' })).status).toBe(401)
})
