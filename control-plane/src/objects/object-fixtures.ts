// What tests of the real objects start from: a project with a pod in the stores, tasks in any state, and sockets of both kinds, opened
// through the Worker's own routes.

import { env, exports } from 'cloudflare:workers'
import { newApiKey, type ApiKey } from '@rdev/shared/domain/api-key'
import type { AttemptPresence } from '@rdev/shared/domain/attempt'
import { newId } from '@rdev/shared/domain/ids'
import type { Pod } from '@rdev/shared/domain/pod'
import type { Task, TaskSpec } from '@rdev/shared/domain/task'
import type { HubDown, HubUp } from '@rdev/shared/wire/hub-frames'
import type { TaskDown, TaskUp } from '@rdev/shared/wire/task-frames'
import { anActor } from '../testing/actor.ts'
import { createTokens } from '../tokens.ts'
import { freshWorld } from '../testing/worker.ts'
import { aPod, aSpec } from './machine-fixtures.ts'
import { openSocket } from './task-log/logs.ts'

const tokens = createTokens(env.RDEV_TOKEN_SECRET, { now: () => Date.now() })
const bytes = (count: number) => crypto.getRandomValues(new Uint8Array(count))

async function dial<Up, Down>(path: string, bearer: string) {
  const response = await exports.default.fetch(`http://rdev${path}`, {
    headers: { upgrade: 'websocket', authorization: `Bearer ${bearer}` },
  })
  if (response.webSocket === null) throw new Error(`no upgrade: ${response.status} ${await response.text()}`)
  const raw = response.webSocket
  const socket = openSocket(raw, new AbortController().signal)
  return {
    raw,
    send: (frame: Up) => socket.send(JSON.stringify(frame)),
    /** Sends the text unchanged, also a malformed one. */
    text: (text: string) => socket.send(text),
    /** The next frame; fails if the socket closed instead. */
    async next(): Promise<Down> {
      const text = await socket.next()
      if (text === undefined) throw new Error(`closed with ${socket.closeCode}`)
      return JSON.parse(text) as Down
    },
    async closed(): Promise<number> {
      while ((await socket.next()) !== undefined);
      return socket.closeCode
    },
    close: () => socket.close(),
  }
}

export async function objects() {
  const world = freshWorld()
  // Objects outlive a test: each has a cluster of its own.
  const cluster = `c-${newId('claim', Date.now(), bytes(10)).slice(-10)}`
  const project = `p-${cluster}`
  const pod = (change: Partial<Pod> = {}): Pod => aPod({ project_id: project, ...change })
  await world.stores.projects.report(cluster, [pod()], [project])
  await world.stores.projects.change(project, anActor(), { allow_pool: true })

  const began = Date.now() - 60_000
  let queued = 0
  const queue = async (change: Partial<TaskSpec> = {}): Promise<Task> => {
    const spec = aSpec({ project_id: project, ...change })
    // A millisecond apart, so that the order of arrival is the order of the calls.
    const created_at = began + ++queued
    const id = newId('task', created_at, bytes(10))
    const [inserted] = await world.stores.tasks.insert([
      { id, spec, actor: anActor({ key_id: 'key_1' }), created_at, new_session: false, retry_of: null },
    ])
    if (!inserted || 'refused' in inserted) throw new Error('the project is not there')
    return inserted.task
  }
  // Higher than any number that the hub reaches in a test.
  let claims = 1_000
  const claim = async (): Promise<Task> => {
    const slots = [{ pod: 'pod-1', pod_uid: pod().uid, project_id: project }]
    const { generation } = await world.stores.dispatch.takeOver(cluster, 0)
    const ask = { clusterId: cluster, claimId: crypto.randomUUID(), keyId: null, slots, leaseMs: 60_000, generation, number: ++claims }
    const [live] = await world.stores.dispatch.claim(ask)
    if (!live) throw new Error('nothing to claim')
    return live.task
  }
  const log = (task: Pick<Task, 'id'>) => env.TASK_LOG.getByName(task.id)
  const makeKey = async (change: Partial<ApiKey> = {}) => {
    const { key, prefix } = newApiKey(bytes(80))
    const hash = [...new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(key)))]
    const row: ApiKey = {
      id: newId('key', Date.now(), bytes(10)),
      name: 'agent',
      prefix,
      hash: hash.map((byte) => byte.toString(16).padStart(2, '0')).join(''),
      scopes: ['cluster:connect'],
      project_ids: null,
      cluster_id: cluster,
      cluster_project_ids: [],
      created_by: 'test',
      created_at: Date.now(),
      expires_at: null,
      revoked_at: null,
      ...change,
    }
    await world.stores.keys.insert(row, anActor())
    return { key, row }
  }
  /** The key of the lines' tokens. */
  const { row: lineKey } = await makeKey()
  const line = async (task: Pick<Task, 'id'>, attempt = 1, epoch = 1, key_id = lineKey.id) => {
    const ref = { task_id: task.id, attempt, cluster_id: cluster }
    const claims = { kind: 'attempt' as const, ...ref, epoch, key_id, expires_at: Date.now() + 60_000 }
    return dial<TaskUp, TaskDown>(`/v1/tasks/${task.id}/attempts/${attempt}/connect`, await tokens.sign(claims))
  }

  return {
    world,
    cluster,
    project,
    pod,
    queue,
    claim,
    log,
    line,
    lineWith: (task: Pick<Task, 'id'>, token: string) => dial<TaskUp, TaskDown>(`/v1/tasks/${task.id}/attempts/1/connect`, token),
    hub: () => env.CLUSTER_HUB.getByName(cluster),
    row: async (task: Pick<Task, 'id'>) => (await world.stores.tasks.get(task.id, null))!,
    /** A task that was leased, its log told so, and the line of its attempt. */
    async running(change: Partial<TaskSpec> = {}) {
      await queue(change)
      const task = await claim()
      await log(task).sync(task)
      const attempt = await line(task)
      await attempt.next()
      return { task, attempt }
    },
    async agent(change: Partial<ApiKey> = {}) {
      const { key, row } = await makeKey(change)
      const socket = await dial<HubUp, HubDown>(`/v1/clusters/${cluster}/connect`, key)
      return {
        ...socket,
        key: row,
        hello: (attempts: readonly AttemptPresence[] = [], pods: readonly Pod[] = [pod()]) =>
          socket.send({
            type: 'hello',
            protocol: 1,
            agent_version: '1.0.0',
            instance: 'instance',
            agent_time: Date.now(),
            pods: [...pods],
            attempts: [...attempts],
          }),
      }
    },
  }
}

export const output = (text: string) => ({ type: 'output' as const, time: new Date().toISOString(), data: { stream: 'stdout', text } })

export const events = (after: number, ...texts: string[]): TaskUp => ({
  type: 'events',
  after,
  cursor: { stdout: after + texts.length, stderr: 0 },
  events: texts.map(output),
})
