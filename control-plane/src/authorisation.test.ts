// Every operation passes these cases, which follow from its scope and its project rule. An operation without a sample request fails.

import type { Operation } from '@rdev/shared/api/operation'
import { operations } from '@rdev/shared/api/operations/operations'
import type { OperationId } from '@rdev/shared/api/operations/operations'
import type { Problem } from '@rdev/shared/api/problem'
import type { Scope } from '@rdev/shared/domain/api-key'
import { newApiKey, scopes } from '@rdev/shared/domain/api-key'
import { METHODS } from 'hono/router'
import { describe, expect, test } from 'vitest'
import { setup as setupApi } from './testing/setup.ts'

/** In `demo`, made by the admin key. */
interface Things {
  readonly taskId: string
  readonly endedId: string
  readonly sessionId: string
  readonly keyId: string
}

interface Sample {
  /** Path parameters, where they are not an id of `demo`. */
  readonly params?: (things: Things) => Readonly<Record<string, string>>
  readonly body?: object
}

const ofTask: Sample = { params: ({ taskId }) => ({ id: taskId }) }
const ofProject: Sample = { params: () => ({ id: 'demo' }) }
const ofSession: Sample = { params: ({ sessionId }) => ({ id: sessionId }) }
const ofKey: Sample = { params: ({ keyId }) => ({ id: keyId }) }
const shell = { command: 'true' }
const samples: Readonly<Record<OperationId, Sample>> = {
  createTask: { body: { kind: 'shell', project_id: 'demo', ...shell } },
  createTasks: { body: { tasks: [{ kind: 'shell', project_id: 'demo', ...shell }] } },
  retryTask: { params: ({ endedId }) => ({ id: endedId }) },
  getQueue: {},
  listTasks: {},
  getTask: ofTask,
  cancelTask: ofTask,
  createStreamTicket: ofTask,
  listTaskEvents: ofTask,
  runClaudeCode: { ...ofProject, body: { prompt: 'x' } },
  runOpenCode: { ...ofProject, body: { prompt: 'x' } },
  runShell: { ...ofProject, body: shell },
  runGit: { ...ofProject, body: { command: ['status'] } },
  listProjects: {},
  getProject: ofProject,
  updateProject: { ...ofProject, body: { max_running: 3 } },
  pauseProject: ofProject,
  resumeProject: ofProject,
  listSessions: {},
  getSession: ofSession,
  listWorkers: {},
  listProviders: {},
  createProject: { body: { id: 'fresh', cluster_id: 'home' } },
  createKey: { body: { name: 'x', scopes: ['keys:write'], project_ids: ['demo'] } },
  listKeys: {},
  getKey: ofKey,
  deleteKey: ofKey,
  revokeKey: ofKey,
  connectCluster: { params: () => ({ id: 'home' }) },
  connectAttempt: { params: ({ taskId }) => ({ id: taskId, n: '1' }) },
  getHealth: {},
  getReadiness: {},
  getOpenApiDocument: {},
  getReferencePage: {},
}

/** The status for a key of the right scope. A WebSocket's path answers a plain request with 426. */
const usualStatus = ({ answers }: Operation): number => {
  const status = Number(Object.keys(answers)[0])
  return status === 101 ? 426 : status
}

/** Whether a key for another project is refused; otherwise its answer must hold nothing of `demo`. */
const refusesOthers = ({ project }: Operation): boolean => !['caller', 'body.tasks', 'none'].includes(project)

const nameOf = ({ method, path }: Operation): string => `${method} ${path}`

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
  const pathOf = ({ id, path }: Case) => {
    const params = samples[id].params?.(things) ?? {}
    return path.replaceAll(/:(\w+)/g, (_, name: string) => params[name]!)
  }
  const send = async (operation: Case, key: string | null) => {
    const { body } = samples[operation.id]
    const response = await api.call(operation.method, pathOf(operation), { key, ...(body && { body }) })
    return { status: response.status, text: await response.text() }
  }
  return { ...api, things, pathOf, send }
}

type Case = Operation & { readonly id: OperationId }
const all = operations.map((operation) => [nameOf(operation), operation] as const satisfies readonly [string, Case])
const keyed = all.filter(([, { scope }]) => scope !== 'public')
/** No API key opens the line of an attempt; connect.test.ts tries the attempt's token. */
const scoped = keyed.filter(([, { scope }]) => scope !== 'attempt')
const code = (text: string) => (JSON.parse(text) as Problem).code

test('every operation has a sample, and every route is that of an operation', async () => {
  const { app } = await setup()
  expect(Object.keys(samples).sort()).toEqual(operations.map(({ id }) => id).sort())
  const routes = app.routes.filter(({ method }) => method !== 'ALL').map(({ method, path }) => `${method} ${path}`)
  expect([...new Set(routes)].sort()).toEqual(operations.map(nameOf).sort())
})

describe.each(keyed)('%s', (_, operation) => {
  test('asks for a key', async () => {
    const { send } = await setup()
    const { status, text } = await send(operation, null)
    expect([status, code(text)]).toEqual([401, 'UNAUTHORIZED'])
  })

  test('refuses malformed and unknown keys', async () => {
    const { send, random } = await setup()
    const { key: unknown } = newApiKey(random.bytes(80))
    for (const key of ['junk', `${unknown.slice(0, -1)}!`, unknown]) {
      const { status, text } = await send(operation, key)
      expect([status, code(text)]).toEqual([401, 'UNAUTHORIZED'])
    }
  })
})

describe.each(scoped)('%s', (_, operation) => {
  const scope = operation.scope as Scope
  const rights = { scopes: [scope], cluster_id: scope === 'cluster:connect' ? 'home' : null }

  test('takes a key with its scope', async () => {
    const { send, makeKey } = await setup()
    const { key } = await makeKey(rights)
    expect((await send(operation, key)).status).toBe(usualStatus(operation))
  })

  test('refuses a revoked key and an expired one', async () => {
    const { send, makeKey, clock } = await setup()
    const revoked = await send(operation, (await makeKey({ ...rights, revoked_at: clock.now() })).key)
    expect([revoked.status, code(revoked.text)]).toEqual([401, 'KEY_REVOKED'])
    const expired = await send(operation, (await makeKey({ ...rights, expires_at: clock.now() })).key)
    expect([expired.status, code(expired.text)]).toEqual([401, 'KEY_EXPIRED'])
  })

  test('refuses a key with every other scope', async () => {
    const { send, makeKey } = await setup()
    const others = scopes.filter((other) => other !== scope && other !== 'admin' && other !== 'cluster:connect')
    const { key } = await makeKey({ scopes: others })
    const { status, text } = await send(operation, key)
    expect([status, code(text)]).toEqual([403, 'FORBIDDEN'])
  })

  test('shows a key for another project nothing', async () => {
    const { send, makeKey, things } = await setup()
    const { key } = await makeKey({ ...rights, project_ids: ['other'], cluster_id: null })
    const { status, text } = await send(operation, key)
    if (refusesOthers(operation)) expect([403, 404]).toContain(status)
    else expect(status).toBe(200)
    for (const id of Object.values(things)) expect(text).not.toContain(`"${id}"`)
    expect(text).not.toMatch(/"(id|project_id|name)":"demo/)
  })
})

describe.each(all)('%s', (_, operation) => {
  test('says which methods its path has to every other one', async () => {
    const { call, pathOf } = await setup()
    const path = pathOf(operation)
    // A path can match another route too: `/v1/tasks/batch` also matches the GET of a task.
    const methods: readonly string[] = operations.filter((other) => matches(other.path, path)).map(({ method }) => method)
    for (const method of METHODS.map((method) => method.toUpperCase()).filter((method) => !methods.includes(method))) {
      const response = await call(method, path)
      expect([method, response.status]).toEqual([method, 405])
      expect(response.headers.get('allow')?.split(', ').sort()).toEqual([...methods].sort())
    }
  })
})
