// What the contract suite starts from: stores, and short names for tasks, claims and outcomes. Times are relative to now, and no test waits
// for them: the Postgres stores compare by Postgres' own clock.

import { newApiKey, type ApiKey } from '@rdev/shared/domain/api-key'
import type { AttemptRef } from '@rdev/shared/domain/attempt'
import { newId } from '@rdev/shared/domain/ids'
import type { Pod } from '@rdev/shared/domain/pod'
import { outcome, type Task, type TaskOutcome, type TaskSpec } from '@rdev/shared/domain/task'
import type { Claim, Slot } from '../../ports/dispatch-store.ts'
import type { NewTask } from '../../ports/task-store.ts'
import { anActor } from '../../testing/actor.ts'
import { aSpec } from '../../testing/spec.ts'
import type { Stores } from '../stores.ts'

export interface StoresUnderTest {
  readonly stores: Stores
  /** Empties them. */
  reset(): Promise<void>
  close(): Promise<void>
}

export const pod = (name: string, project_id: string | null, more: Partial<Pod> = {}): Pod => ({
  name,
  uid: `uid-${name}`,
  role: project_id === null ? 'worker' : 'project',
  project_id,
  ready: true,
  slots: 4,
  providers: ['claude-code'],
  allow_bypass_permissions: false,
  ...more,
})

/** `count` slots in the pod of a project, or of the pool. */
export const slots = (name: string, project_id: string | null, count = 1): Slot[] =>
  Array.from({ length: count }, () => ({ pod: name, pod_uid: `uid-${name}`, project_id }))

export const aKey = (id: string, more: Partial<ApiKey> = {}): ApiKey => ({
  id,
  name: 'bot "1"',
  prefix: newApiKey(crypto.getRandomValues(new Uint8Array(80))).prefix,
  hash: 'ab'.repeat(32),
  scopes: ['tasks:read', 'admin'],
  project_ids: ['demo', 'other'],
  cluster_id: null,
  cluster_project_ids: [],
  created_by: 'key_admin',
  created_at: Date.now(),
  expires_at: null,
  revoked_at: null,
  ...more,
})
/** What a cluster's key is. */
export const ofCluster = { scopes: ['cluster:connect'], project_ids: null, cluster_id: 'home', cluster_project_ids: ['demo'] } as const

export const demoSlots = (count = 1) => slots('demo-pod', 'demo', count)
export const refOf = (task: Task): AttemptRef => ({ task_id: task.id, attempt: task.attempt })

let serial = 0

export async function contractSetup({ stores }: StoresUnderTest) {
  const { dispatch, tasks, projects } = stores
  await projects.report('home', [pod('demo-pod', 'demo'), pod('other-pod', 'other')], ['demo', 'other'])
  await projects.report('away', [pod('far-pod', 'far')], ['far'])
  for (const name of ['demo', 'other']) await projects.change(name, anActor(), { allow_pool: true })

  const id = (kind: 'task' | 'session' | 'key' | 'claim') => newId(kind, Date.now() + serial++, new Uint8Array(10))
  let generation = 0
  const takeOver = (clusterId = 'home') => dispatch.takeOver(clusterId, ++generation)
  const live = async () => (await dispatch.takeOver('home', generation)).live
  /** A claim of the newest generation, with a higher number than all before. */
  const aClaim = (slots: readonly Slot[], clusterId = 'home'): Claim => ({
    clusterId,
    claimId: id('claim'),
    keyId: null,
    slots,
    leaseMs: 60_000,
    generation,
    number: ++serial,
  })
  const claim = async (free: readonly Slot[], { claimId = id('claim'), clusterId = 'home' } = {}) =>
    dispatch.claim({ ...aClaim(free, clusterId), claimId })

  const fresh = (spec: Partial<TaskSpec> = {}, more: Partial<NewTask> = {}): NewTask => ({
    id: id('task'),
    spec: aSpec(spec),
    actor: anActor(),
    created_at: Date.now(),
    new_session: false,
    retry_of: null,
    ...more,
  })

  const add = async (spec: Partial<TaskSpec> = {}, more: Partial<NewTask> = {}): Promise<Task> => {
    const [inserted] = await tasks.insert([fresh(spec, more)])
    if (!inserted || 'refused' in inserted) throw new Error(`refused: ${inserted?.refused}`)
    return inserted.task
  }

  const addMany = async (count: number, spec: Partial<TaskSpec> = {}): Promise<void> => {
    for (let left = count; left > 0; left -= 500) {
      const inserted = await tasks.insert(Array.from({ length: Math.min(left, 500) }, () => fresh(spec)))
      if (inserted.some((one) => 'refused' in one)) throw new Error('refused')
    }
  }

  /** A task that begins a session. */
  const converse = async (spec: Partial<TaskSpec> = {}): Promise<{ task: Task; session_id: string }> => {
    const session_id = id('session')
    const agent: Partial<TaskSpec> = { kind: 'agent', provider: 'claude-code', prompt: 'hello', command: null }
    return { task: await add({ ...agent, session_id, ...spec }, { new_session: true }), session_id }
  }

  const lease = async (free: readonly Slot[] = demoSlots()): Promise<Task> => {
    const [live] = await claim(free)
    if (!live) throw new Error('nothing to lease')
    return live.task
  }

  const run = async (free: readonly Slot[] = demoSlots()): Promise<Task> => {
    const task = await lease(free)
    await dispatch.markStarted([{ ...refOf(task), started_at: Date.now() }])
    return (await tasks.get(task.id, null))!
  }

  const end = async (task: Task, status: TaskOutcome['status'] = 'succeeded', more: Partial<TaskOutcome> = {}): Promise<Task> =>
    (await dispatch.finish(refOf(task), outcome(status, more), null))!

  return { ...stores, id, takeOver, live, aClaim, claim, fresh, add, addMany, converse, lease, run, end }
}
export type Contract = Awaited<ReturnType<typeof contractSetup>>
