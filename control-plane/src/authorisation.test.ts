// Every route that is registered goes through this; one that is not in the table fails it.

import type { Problem } from '@rdev/shared/api/problem'
import type { Scope } from '@rdev/shared/domain/api-key'
import { newApiKey, scopes } from '@rdev/shared/domain/api-key'
import { METHODS } from 'hono/router'
import { describe, expect, test } from 'vitest'
import { docOf } from './middleware/endpoint.ts'
import { setup as setupApi } from './testing/setup.ts'

/** In `demo`, made by the admin key. */
interface Things {
  readonly taskId: string
  readonly endedId: string
  readonly sessionId: string
  readonly keyId: string
}

interface Case {
  /** Null: nobody is asked for a key. */
  readonly scope: Scope | null
  readonly path: (things: Things) => string
  readonly body?: object
  /** What its scope is answered; 200 unless said. */
  readonly ok?: number
  /** What a key for the project `other` gets: refused, or a list without anything of `demo`. */
  readonly foreign: 'refused' | 'nothing'
}

const shell = { command: 'true' }
const cases: Readonly<Record<string, Case>> = {
  'POST /v1/tasks': {
    ok: 202,
    scope: 'tasks:write',
    path: () => '/v1/tasks',
    body: { kind: 'shell', project_id: 'demo', ...shell },
    foreign: 'refused',
  },
  'POST /v1/tasks/batch': {
    scope: 'tasks:write',
    path: () => '/v1/tasks/batch',
    body: { tasks: [{ kind: 'shell', project_id: 'demo', ...shell }] },
    foreign: 'nothing',
  },
  'POST /v1/tasks/:id/retry': {
    ok: 202,
    scope: 'tasks:write',
    path: ({ endedId }) => `/v1/tasks/${endedId}/retry`,
    foreign: 'refused',
  },
  'GET /v1/queue': { scope: 'tasks:read', path: () => '/v1/queue', foreign: 'nothing' },
  'GET /v1/tasks': { scope: 'tasks:read', path: () => '/v1/tasks', foreign: 'nothing' },
  'GET /v1/tasks/:id': { scope: 'tasks:read', path: ({ taskId }) => `/v1/tasks/${taskId}`, foreign: 'refused' },
  'POST /v1/tasks/:id/cancel': { scope: 'tasks:write', path: ({ taskId }) => `/v1/tasks/${taskId}/cancel`, foreign: 'refused' },
  'POST /v1/tasks/:id/tickets': { ok: 201, scope: 'tasks:read', path: ({ taskId }) => `/v1/tasks/${taskId}/tickets`, foreign: 'refused' },
  'GET /v1/tasks/:id/events': { scope: 'tasks:read', path: ({ taskId }) => `/v1/tasks/${taskId}/events`, foreign: 'refused' },
  'POST /v1/projects/:id/claude': {
    ok: 202,
    scope: 'tasks:write',
    path: () => '/v1/projects/demo/claude',
    body: { prompt: 'x' },
    foreign: 'refused',
  },
  'POST /v1/projects/:id/opencode': {
    ok: 202,
    scope: 'tasks:write',
    path: () => '/v1/projects/demo/opencode',
    body: { prompt: 'x' },
    foreign: 'refused',
  },
  'POST /v1/projects/:id/shell': { ok: 202, scope: 'tasks:write', path: () => '/v1/projects/demo/shell', body: shell, foreign: 'refused' },
  'POST /v1/projects/:id/git': {
    ok: 202,
    scope: 'tasks:write',
    path: () => '/v1/projects/demo/git',
    body: { command: ['status'] },
    foreign: 'refused',
  },
  'GET /v1/projects': { scope: 'projects:read', path: () => '/v1/projects', foreign: 'nothing' },
  'GET /v1/projects/:id': { scope: 'projects:read', path: () => '/v1/projects/demo', foreign: 'refused' },
  'PATCH /v1/projects/:id': {
    scope: 'projects:write',
    path: () => '/v1/projects/demo',
    body: { max_running: 3 },
    foreign: 'refused',
  },
  'POST /v1/projects/:id/pause': { scope: 'projects:write', path: () => '/v1/projects/demo/pause', foreign: 'refused' },
  'POST /v1/projects/:id/resume': { scope: 'projects:write', path: () => '/v1/projects/demo/resume', foreign: 'refused' },
  'GET /v1/sessions': { scope: 'sessions:read', path: () => '/v1/sessions', foreign: 'nothing' },
  'GET /v1/sessions/:id': { scope: 'sessions:read', path: ({ sessionId }) => `/v1/sessions/${sessionId}`, foreign: 'refused' },
  'GET /v1/workers': { scope: 'workers:read', path: () => '/v1/workers', foreign: 'nothing' },
  'GET /v1/providers': { scope: 'workers:read', path: () => '/v1/providers', foreign: 'nothing' },
  'POST /v1/keys': {
    ok: 201,
    scope: 'keys:write',
    path: () => '/v1/keys',
    body: { name: 'x', scopes: ['keys:write'], project_ids: ['demo'] },
    foreign: 'refused',
  },
  'GET /v1/keys': { scope: 'keys:read', path: () => '/v1/keys', foreign: 'nothing' },
  'GET /v1/keys/:id': { scope: 'keys:read', path: ({ keyId }) => `/v1/keys/${keyId}`, foreign: 'refused' },
  'DELETE /v1/keys/:id': { scope: 'keys:write', path: ({ keyId }) => `/v1/keys/${keyId}`, foreign: 'refused' },
  'POST /v1/keys/:id/revoke': { scope: 'keys:write', path: ({ keyId }) => `/v1/keys/${keyId}/revoke`, foreign: 'refused' },
  'GET /v1/clusters/:id/connect': { ok: 426, scope: 'cluster:connect', path: () => '/v1/clusters/home/connect', foreign: 'refused' },
  'GET /v1/tasks/:id/attempts/:n/connect': {
    // No API key opens it at all; its own token is tried in connect.test.ts.
    scope: null,
    path: ({ taskId }) => `/v1/tasks/${taskId}/attempts/1/connect`,
    foreign: 'refused',
  },
  'GET /health': { scope: null, path: () => '/health', foreign: 'nothing' },
  'GET /ready': { scope: null, path: () => '/ready', foreign: 'nothing' },
  'GET /openapi.json': { scope: null, path: () => '/openapi.json', foreign: 'nothing' },
  'GET /docs': { scope: null, path: () => '/docs', foreign: 'nothing' },
}

const matches = (pattern: string, path: string): boolean => {
  const [parts, values] = [pattern.split('/'), path.split('/')]
  return parts.length === values.length && parts.every((part, i) => part.startsWith(':') || part === values[i])
}

async function setup() {
  const api = await setupApi()
  const task = await api.createTask({ kind: 'agent', project_id: 'demo', prompt: 'x' })
  const ended = await api.createTask()
  await api.call('POST', `/v1/tasks/${ended.id}/cancel`)
  const { row } = await api.makeKey({ project_ids: ['demo'], scopes: ['keys:write'] })
  const things: Things = { taskId: task.id, endedId: ended.id, sessionId: task.session_id!, keyId: row.id }
  const routes = api.app.routes.filter(({ handler }) => docOf(handler)).map(({ method, path }) => `${method} ${path}`)
  const send = async (name: string, key: string | null) => {
    const { path, body } = cases[name]!
    const response = await api.call(name.split(' ')[0]!, path(things), { key, ...(body && { body }) })
    return { status: response.status, text: await response.text() }
  }
  return { ...api, things, routes, send }
}

const scoped = Object.entries(cases).filter(([, { scope }]) => scope !== null)
const keyed = [...scoped.map(([name]) => name), 'GET /v1/tasks/:id/attempts/:n/connect']
const code = (text: string) => (JSON.parse(text) as Problem).code

test('the table holds every route there is, and every route has a door', async () => {
  const { app, routes } = await setup()
  expect([...new Set(routes)].sort()).toEqual(Object.keys(cases).sort())
  const all = app.routes.filter(({ method }) => method !== 'ALL').map(({ method, path }) => `${method} ${path}`)
  expect([...new Set(all)].sort()).toEqual([...new Set(routes)].sort())
})

describe.each(keyed)('%s', (name) => {
  test('asks for a key', async () => {
    const { send } = await setup()
    const { status, text } = await send(name, null)
    expect([status, code(text)]).toEqual([401, 'UNAUTHORIZED'])
  })

  test('refuses junk and keys that nobody has', async () => {
    const { send, random } = await setup()
    const { key: unknown } = newApiKey(random.bytes(80))
    for (const key of ['junk', `${unknown.slice(0, -1)}!`, unknown]) {
      const { status, text } = await send(name, key)
      expect([status, code(text)]).toEqual([401, 'UNAUTHORIZED'])
    }
  })
})

describe.each(scoped)('%s', (name, { scope, foreign, ok = 200 }) => {
  const rights = { scopes: [scope!], cluster_id: scope === 'cluster:connect' ? 'home' : null }

  test('takes a key with its scope', async () => {
    const { send, makeKey } = await setup()
    const { key } = await makeKey(rights)
    expect((await send(name, key)).status).toBe(ok)
  })

  test('refuses a revoked key and an expired one', async () => {
    const { send, makeKey, clock } = await setup()
    const revoked = await send(name, (await makeKey({ ...rights, revoked_at: clock.now() })).key)
    expect([revoked.status, code(revoked.text)]).toEqual([401, 'KEY_REVOKED'])
    const expired = await send(name, (await makeKey({ ...rights, expires_at: clock.now() })).key)
    expect([expired.status, code(expired.text)]).toEqual([401, 'KEY_EXPIRED'])
  })

  test('refuses a key with every other scope', async () => {
    const { send, makeKey } = await setup()
    const others = scopes.filter((other) => other !== scope && other !== 'admin' && other !== 'cluster:connect')
    const { key } = await makeKey({ scopes: others })
    const { status, text } = await send(name, key)
    expect([status, code(text)]).toEqual([403, 'FORBIDDEN'])
  })

  test('shows a key for another project nothing', async () => {
    const { send, makeKey, things } = await setup()
    const { key } = await makeKey({ ...rights, project_ids: ['other'], cluster_id: null })
    const { status, text } = await send(name, key)
    if (foreign === 'refused') expect([403, 404]).toContain(status)
    else expect(status).toBe(200)
    for (const id of Object.values(things)) expect(text).not.toContain(`"${id}"`)
    expect(text).not.toMatch(/"(id|project_id|name)":"demo/)
  })
})

describe.each(Object.keys(cases))('%s', (name) => {
  test('says which methods its path has to every other one', async () => {
    const { call, things, routes } = await setup()
    const path = cases[name]!.path(things)
    // A path can be another route's as well: `/v1/tasks/batch` is a GET of a task, which that never names.
    const there = routes.filter((route) => matches(route.split(' ')[1]!, path))
    const methods = there.map((route) => route.split(' ')[0]!)
    for (const method of METHODS.map((method) => method.toUpperCase()).filter((method) => !methods.includes(method))) {
      const response = await call(method, path)
      expect([method, response.status]).toEqual([method, 405])
      expect(response.headers.get('allow')?.split(', ').sort()).toEqual([...methods].sort())
    }
  })
})
