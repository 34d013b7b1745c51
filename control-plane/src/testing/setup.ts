// The API in one process on memory stores: what route tests start from.

import { newApiKey, scopes } from '@rdev/shared/domain/api-key'
import type { ApiKey } from '@rdev/shared/domain/api-key'
import { agentProviders } from '@rdev/shared/domain/code-agent'
import { newId } from '@rdev/shared/domain/ids'
import type { Pod } from '@rdev/shared/domain/pod'
import { outcome } from '@rdev/shared/domain/task'
import type { TaskOutcome } from '@rdev/shared/domain/task'
import type { TaskView } from '@rdev/shared/api/tasks'
import { anActor } from './actor.ts'
import { createApp } from '../app.ts'
import type { AppOptions } from '../app.ts'
import { sha256Hex } from '../middleware/auth.ts'
import type { Deps } from '../ports/deps.ts'
import { memoryStores } from '../stores/memory/memory-stores.ts'
import { createTokens } from '../tokens.ts'
import { manualClock } from './clock.ts'
import { memoryHubs } from './hubs.ts'
import { seededRandomness } from './randomness.ts'
import { memoryTaskLogs } from './task-logs.ts'

export const adminKey = 'the-admin-key-of-this-test'

export interface Call {
  readonly key?: string | null
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

const pod = (name: string, project_id: string | null, more: Partial<Pod> = {}): Pod & { running: number } => ({
  name,
  uid: `uid-${name}`,
  role: project_id === null ? 'worker' : 'project',
  project_id,
  ready: true,
  slots: 2,
  providers: agentProviders,
  allow_bypass_permissions: false,
  running: 0,
  ...more,
})

/** A cluster `home` with one worker and the projects `demo` and `other` (which may use the pool) and `trusted` (which allows bypassPermissions). */
export async function setup(options: AppOptions & { readonly deps?: Partial<Deps> } = {}) {
  const clock = manualClock()
  const random = seededRandomness()
  const stores = memoryStores(clock)
  const hubs = memoryHubs()
  const logs = memoryTaskLogs(clock)
  const logged: { level: string; phrase: string; fields: Readonly<Record<string, unknown>> }[] = []
  const deps: Deps = {
    ...stores,
    hubs,
    logs,
    clock,
    random,
    tokens: createTokens('a secret that only this test has, long enough', clock),
    log: (level, phrase, fields = {}) => void logged.push({ level, phrase, fields }),
    adminKey,
    providers: agentProviders,
    ...options.deps,
  }
  const app = createApp(deps, options)

  const pods = [
    pod('demo-0', 'demo'),
    pod('other-0', 'other'),
    pod('trusted-0', 'trusted', { allow_bypass_permissions: true }),
    pod('worker-0', null),
  ]
  await stores.projects.report('home', pods, ['demo', 'other', 'trusted'])
  for (const id of ['demo', 'other']) await stores.projects.change(id, anActor(), { allow_pool: true })
  hubs.connect('home', '1.0.0', pods)

  /** A key with every scope but `admin` and `cluster:connect`, for every project, unless said otherwise. */
  async function makeKey(more: Partial<ApiKey> = {}): Promise<{ key: string; row: ApiKey }> {
    const { key, prefix } = newApiKey(random.bytes(80))
    const row: ApiKey = {
      id: newId('key', clock.now(), random.bytes(10)),
      name: 'test',
      prefix,
      hash: await sha256Hex(key),
      scopes: scopes.filter((scope) => scope !== 'admin' && scope !== 'cluster:connect'),
      project_ids: null,
      cluster_id: null,
      cluster_project_ids: [],
      created_by: 'test',
      created_at: clock.now(),
      expires_at: null,
      revoked_at: null,
      ...more,
    }
    await stores.keys.insert(row, anActor())
    return { key, row }
  }

  /** `key` null: none; left out: the admin key. */
  const call = (method: string, path: string, { key = adminKey, body, headers = {}, signal }: Call = {}): Promise<Response> =>
    Promise.resolve(
      app.request(path, {
        method,
        headers: {
          ...(key !== null && { authorization: `Bearer ${key}` }),
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
        ...(signal && { signal }),
      }),
    )

  const shellTask = { kind: 'shell', project_id: 'demo', command: 'true' }
  const createTask = async (body: object = shellTask, key?: string): Promise<TaskView> => {
    const response = await call('POST', '/v1/tasks', { body, ...(key && { key }) })
    if (response.status !== 202) throw new Error(await response.text())
    return response.json<TaskView>()
  }

  let claims = 0
  /** Leases and starts what is queued, as a hub would. */
  async function start(taskId: string): Promise<void> {
    const slots = pods.flatMap(({ name, uid, project_id, slots }) =>
      Array.from({ length: slots }, () => ({ pod: name, pod_uid: uid, project_id })),
    )
    const claimId = newId('claim', clock.now(), random.bytes(10))
    const claimed = await stores.dispatch.claim({
      clusterId: 'home',
      claimId,
      keyId: null,
      slots,
      leaseMs: 60_000,
      generation: 0,
      number: ++claims,
    })
    const live = claimed.find(({ task }) => task.id === taskId)
    if (!live) throw new Error('that task was not claimed')
    await stores.dispatch.markStarted([{ task_id: taskId, attempt: live.task.attempt, started_at: clock.now() }])
    await logs.sync((await stores.tasks.get(taskId, null))!)
    logs.append(taskId, 'task.started', {})
  }

  /** The attempt ends: the row first, then the log. */
  async function finish(taskId: string, more: Partial<TaskOutcome> = {}): Promise<void> {
    const task = (await stores.tasks.get(taskId, null))!
    const ended = await stores.dispatch.finish(
      { task_id: taskId, attempt: task.attempt },
      outcome('succeeded', { exit_code: 0, duration_ms: 5, ...more }),
      null,
    )
    await logs.sync(ended!)
  }

  return { app, call, clock, createTask, deps, finish, hubs, logged, logs, makeKey, random, shellTask, start, stores }
}
export type Setup = Awaited<ReturnType<typeof setup>>
