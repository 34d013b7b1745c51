import type { Session } from '@rdev/shared/domain/session'
import { expire, failHomeless, finish, isLive, isTerminal, lease, requeue, retry, start, type Task } from '@rdev/shared/domain/task'
import type { Clock, Fence, Inserted, LiveTask, NewTask, TaskStore } from '../../ports.ts'
import { place } from './claim.ts'
import { queueLane } from './queue.ts'
import { allows, type MemoryRows, pageDown } from './rows.ts'
import { storableOutcome } from '../storable.ts'

/** How many tasks one call of `expireQueued` or `failHomeless` ends. */
export const maxExpired = 500
const maxHomeless = 100

/** Every method does its work before it first awaits, so each is as atomic as the one statement of the Postgres store. */
export function memoryTasks(rows: MemoryRows, clock: Clock): TaskStore {
  const sessionOf = (task: Task): Session | undefined => (task.spec.session_id ? rows.sessions.get(task.spec.session_id) : undefined)
  const withSession = (task: Task): LiveTask => ({ task, provider_session_id: sessionOf(task)?.provider_session_id ?? null })
  const save = (task: Task) => {
    rows.tasks.set(task.id, task)
    return task
  }
  const all = (test: (task: Task) => boolean) => [...rows.tasks.values()].filter(test).sort((a, b) => (a.id < b.id ? -1 : 1))

  /** Due tasks whose conversation is in some pod. */
  const housed = (clusterId: string) => {
    const now = clock.now()
    const due = all((task) => task.cluster_id === clusterId && task.status === 'queued' && task.run_after <= now)
    return due.flatMap((task) => {
      const home = sessionOf(task)?.pod ?? null
      return home === null || rows.projects.get(task.spec.project_id)?.paused ? [] : [{ task, home }]
    })
  }

  function insertOne({ id, spec, created_by, created_at, new_session, retry_of }: NewTask): Inserted {
    const known = rows.tasks.get(id)
    if (known) return { task: known, repeated: true }
    const project = rows.projects.get(spec.project_id)
    if (!project) return { refused: 'no_project' }
    if (spec.session_id !== null && !new_session && rows.sessions.get(spec.session_id)?.project_id !== spec.project_id) {
      return { refused: 'no_session' }
    }
    let depth = 0
    for (const task of rows.tasks.values()) if (task.status === 'queued' && task.spec.project_id === project.id) depth++
    if (depth >= project.max_queued) {
      return { refused: 'queue_full' }
    }
    if (spec.session_id !== null) {
      const before = rows.sessions.get(spec.session_id)
      if (new_session) {
        if (before || spec.provider === null) throw new Error(`session ${spec.session_id} cannot begin`)
        rows.sessions.set(spec.session_id, {
          id: spec.session_id,
          project_id: spec.project_id,
          provider: spec.provider,
          workspace: spec.workspace,
          provider_session_id: null,
          pod: null,
          last_task_id: id,
          created_at,
          updated_at: created_at,
        })
      } else if (before) {
        rows.sessions.set(spec.session_id, { ...before, last_task_id: id, updated_at: created_at })
      }
    }
    const task = save({
      id,
      spec: structuredClone(spec),
      status: 'queued',
      attempt: 0,
      lane: spec.project_id,
      // By the store's clock where the caller's is ahead of it: a new task is due at once.
      run_after: Math.max(Math.min(created_at, clock.now()), spec.run_after ?? 0),
      queue_deadline_at: spec.queue_ttl_s === null ? null : created_at + Math.round(spec.queue_ttl_s * 1000),
      cluster_id: project.cluster_id,
      pod: null,
      pod_uid: null,
      lease_until: null,
      claim_id: null,
      cancel_requested_at: null,
      created_by,
      created_at,
      started_at: null,
      finished_at: null,
      exit_code: null,
      result: null,
      error_code: null,
      error: null,
      usage: null,
      cost_usd: null,
      retry_of,
    })
    return { task, repeated: false }
  }

  const newestOf = (clusterId: string) => rows.newest.get(clusterId) ?? { generation: 0, number: 0 }

  const isFenced = (fence: Fence | undefined) =>
    fence !== undefined && (rows.newest.get(fence.clusterId)?.generation ?? fence.generation) !== fence.generation

  return {
    insert: async (list) => list.map((one) => insertOne(one)),
    async get(id, projects) {
      const task = rows.tasks.get(id)
      return task && allows(projects, task.spec.project_id) ? task : undefined
    },

    async list({ projects, project_id, session_id, status, kind }, page) {
      return pageDown(
        all(
          ({ spec, ...task }) =>
            allows(projects, spec.project_id) &&
            (project_id === undefined || spec.project_id === project_id) &&
            (session_id === undefined || spec.session_id === session_id) &&
            (status === undefined || task.status === status) &&
            (kind === undefined || spec.kind === kind),
        ),
        page,
      )
    },

    async change(id, projects, step) {
      const before = rows.tasks.get(id)
      if (!before || !allows(projects, before.spec.project_id)) return undefined
      return { before, after: save(step(before)) }
    },

    async claim({ clusterId, claimId, slots, leaseMs, generation, number }) {
      const newest = newestOf(clusterId)
      const superseded = newest.generation !== generation || newest.number >= number
      if (superseded || rows.claims.has(claimId)) return all((task) => task.claim_id === claimId && isLive(task.status)).map(withSession)
      rows.newest.set(clusterId, { generation, number })
      const now = clock.now()
      const due = all(
        (task) =>
          task.cluster_id === clusterId &&
          task.status === 'queued' &&
          task.run_after <= now &&
          (task.queue_deadline_at === null || task.queue_deadline_at > now),
      )
      const projectOf = (task: Task) => rows.projects.get(task.spec.project_id)!
      const placements = place(
        clusterId,
        due,
        all(({ status }) => isLive(status)),
        slots,
        { projectOf, sessionOf },
        rows.times,
      )
      if (placements.length > 0) rows.claims.add(claimId)
      return placements
        .map(({ task, pod, podUid }) => withSession(save(lease(task, { pod, podUid, claimId, leaseUntil: now + leaseMs }))))
        .sort((a, b) => (a.task.id < b.task.id ? -1 : 1))
    },

    async takeOver(clusterId, asked) {
      if (asked > newestOf(clusterId).generation) rows.newest.set(clusterId, { generation: asked, number: 0 })
      const { generation } = newestOf(clusterId)
      return { generation, live: all((task) => task.cluster_id === clusterId && isLive(task.status)).map(withSession) }
    },

    async markStarted(started) {
      for (const { task_id, attempt, started_at } of started) {
        const task = rows.tasks.get(task_id)
        if (task) save(start(task, attempt, started_at))
      }
    },

    async requeue(refs, runAfter, fence) {
      if (isFenced(fence)) return []
      const changed: Task[] = []
      for (const { task_id, attempt } of refs) {
        const before = rows.tasks.get(task_id)
        const after = before && requeue(before, attempt, runAfter)
        if (after && after !== before) changed.push(save(after))
      }
      return changed.sort((a, b) => (a.id < b.id ? -1 : 1))
    },

    async finish(ref, end, retryAt, fence) {
      const before = rows.tasks.get(ref.task_id)
      if (!before || isFenced(fence)) return before
      const now = clock.now()
      const told = storableOutcome(end, now)
      const again = retryAt === null ? before : retry(before, ref.attempt, retryAt)
      const after = again === before ? finish(before, ref.attempt, told, now) : again
      if (after === before) return before
      const session = sessionOf(before)
      const { provider_session_id } = told
      if (session && provider_session_id !== null) {
        rows.sessions.set(session.id, { ...session, provider_session_id, pod: before.pod, updated_at: now })
      }
      return save(after)
    },

    async renew(clusterId, refs, leaseMs) {
      const lease_until = clock.now() + leaseMs
      for (const { task_id, attempt } of refs) {
        const task = rows.tasks.get(task_id)
        if (task && task.cluster_id === clusterId && task.attempt === attempt && isLive(task.status)) save({ ...task, lease_until })
      }
    },

    async expireQueued(clusterId) {
      const now = clock.now()
      const late = all((task) => task.cluster_id === clusterId && !isTerminal(task.status) && expire(task, now) !== task)
      return late.slice(0, maxExpired).map((task) => save(expire(task, now)))
    },

    async homeless(clusterId, pods) {
      const homes = new Set(housed(clusterId).map(({ home }) => home))
      return [...homes]
        .filter((home) => !pods.includes(home))
        .sort()
        .slice(0, maxHomeless)
    },

    async failHomeless(clusterId, pods) {
      const now = clock.now()
      const found = housed(clusterId).filter(({ home }) => pods.includes(home))
      return found.slice(0, maxExpired).map(({ task }) => save(failHomeless(task, now)))
    },

    async queue({ projects, project_id }, limit) {
      const queued = Map.groupBy(
        all((task) => task.status === 'queued' && allows(projects, task.spec.project_id)),
        (task) => task.spec.project_id,
      )
      const now = clock.now()
      return [...queued]
        .filter(([id]) => project_id === undefined || id === project_id)
        .sort(([a, one], [b, other]) => other.length - one.length || (a < b ? -1 : 1))
        .slice(0, limit)
        .map(([id, tasks]) => queueLane(rows, id, tasks, now))
    },

    async nextDue(clusterId) {
      const now = clock.now()
      const queued = all((task) => task.cluster_id === clusterId && task.status === 'queued')
      const instants = queued.flatMap((task) => [
        ...(task.run_after > now ? [task.run_after] : []),
        ...(task.queue_deadline_at === null ? [] : [task.queue_deadline_at]),
      ])
      return { queued: queued.length > 0, next_at: instants.length === 0 ? null : Math.min(...instants) }
    },
  }
}
