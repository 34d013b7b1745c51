// The hub's side of the queue in memory. Every method does its work before it first awaits, so each is as atomic as the one statement of
// the Postgres store.
import { speaksFor } from '@rdev/shared/domain/api-key'
import { maxEndedAtOnce, maxMissingPods } from '@rdev/shared/domain/limits'
import type { Session } from '@rdev/shared/domain/session'
import { expire, failMissingPod, finish, isLive, isTerminal, lease, requeue, retry, start, type Task } from '@rdev/shared/domain/task'
import type { Clock } from '../../ports/clock.ts'
import type { DispatchStore, Fence, LiveTask } from '../../ports/dispatch-store.ts'
import { storableOutcome } from '../storable.ts'
import { place } from './claim.ts'
import { type MemoryRows, saved, tasksWhere } from './rows.ts'

export function memoryDispatch(rows: MemoryRows, clock: Clock): DispatchStore {
  const sessionOf = (task: Task): Session | undefined => (task.spec.session_id ? rows.sessions.get(task.spec.session_id) : undefined)
  const withSession = (task: Task): LiveTask => ({ task, provider_session_id: sessionOf(task)?.provider_session_id ?? null })
  const save = (task: Task) => saved(rows, task)
  const all = (test: (task: Task) => boolean) => tasksWhere(rows, test)

  /** Due tasks that are bound to a pod by their conversation, each with that pod. */
  const boundToPods = (clusterId: string) => {
    const now = clock.now()
    const due = all((task) => task.cluster_id === clusterId && task.status === 'queued' && task.run_after <= now)
    return due.flatMap((task) => {
      const pod = sessionOf(task)?.pod ?? null
      return pod === null || rows.projects.get(task.spec.project_id)?.paused ? [] : [{ task, pod }]
    })
  }

  const newestOf = (clusterId: string) => rows.newest.get(clusterId) ?? { generation: 0, number: 0 }

  const isFenced = (fence: Fence | undefined) =>
    fence !== undefined && (rows.newest.get(fence.clusterId)?.generation ?? fence.generation) !== fence.generation

  return {
    async claim({ clusterId, claimId, keyId, slots, leaseMs, generation, number }) {
      const newest = newestOf(clusterId)
      const superseded = newest.generation !== generation || newest.number >= number
      const keyRefused = keyId !== null && !speaksFor(rows.keys.get(keyId), clusterId, clock.now())
      if (superseded || keyRefused || rows.claims.has(claimId))
        return all((task) => task.claim_id === claimId && isLive(task.status)).map(withSession)
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
      const again = retryAt === null ? before : retry(before, ref.attempt, told, retryAt)
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
      return late.slice(0, maxEndedAtOnce).map((task) => save(expire(task, now)))
    },

    async missingPods(clusterId, pods) {
      const bound = new Set(boundToPods(clusterId).map(({ pod }) => pod))
      return [...bound]
        .filter((pod) => !pods.includes(pod))
        .sort()
        .slice(0, maxMissingPods)
    },

    async failMissingPods(clusterId, pods) {
      const now = clock.now()
      const found = boundToPods(clusterId).filter(({ pod }) => pods.includes(pod))
      return found.slice(0, maxEndedAtOnce).map(({ task }) => save(failMissingPod(task, now)))
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
