import type { Task } from '@rdev/shared/domain/task'
import { eq, type SQL } from 'drizzle-orm'
import type { Clock } from '../../ports/clock.ts'
import type { DispatchStore, Fence, LiveTask } from '../../ports/dispatch-store.ts'
import { isStorable, storableOutcome } from '../storable.ts'
import { claimLock, claimStatement, plainPlans } from './claim.ts'
import type { Database } from './database.ts'
import { failMissingPodsStatement, missingPodsStatement } from './missing-pods.ts'
import { nextDueStatement } from './queue.ts'
import { rawTask, taskOf, tasks } from './schema.ts'
import {
  expireStatement,
  finishStatement,
  markStartedStatement,
  renewStatement,
  requeueStatement,
  takeOverStatement,
} from './task-statements.ts'

/** The hub's side of the queue. */
export function postgresDispatch(database: Database, clock: Clock): DispatchStore {
  const many = async (statement: SQL, fence?: Fence) =>
    (await (fence === undefined ? database.rows(statement) : database.batch(claimLock(fence.clusterId), statement))).map(rawTask)

  const get = async (id: string): Promise<Task | undefined> => {
    if (!isStorable(id)) return undefined
    const [row] = await database.run(database.db.select().from(tasks).where(eq(tasks.id, id)))
    return row && taskOf(row)
  }

  return {
    async claim(claim) {
      const rows = await database.batch(claimLock(claim.clusterId), claimStatement(claim))
      return rows.map(rawLiveTask)
    },

    async takeOver(clusterId, generation) {
      const rows = await database.batch(claimLock(clusterId), takeOverStatement(clusterId, generation))
      return { generation: Number(rows[0]?.generation), live: rows.filter(({ id }) => id !== null).map(rawLiveTask) }
    },

    async markStarted(started) {
      if (started.length > 0) await database.rows(markStartedStatement(started))
    },

    requeue: async (refs, runAfter, fence) => (refs.length === 0 ? [] : many(requeueStatement(refs, runAfter, fence), fence)),

    async finish(ref, end, retryAt, fence) {
      const now = clock.now()
      const [changed] = await many(finishStatement(ref, storableOutcome(end, now), retryAt, now, fence), fence)
      // A statement that waited for another commit and changed nothing has an old snapshot, so read the row again.
      return changed ?? get(ref.task_id)
    },

    async renew(clusterId, refs, leaseMs) {
      if (refs.length > 0) await database.rows(renewStatement(clusterId, refs, leaseMs))
    },

    expireQueued: (clusterId) => many(expireStatement(clusterId)),

    missingPods: async (clusterId, pods) =>
      (await database.batch(plainPlans, missingPodsStatement(clusterId, pods.filter(isStorable)))).map(({ pod }) => String(pod)),

    async failMissingPods(clusterId, pods) {
      const statement = failMissingPodsStatement(clusterId, pods.filter(isStorable))
      return pods.length === 0 ? [] : (await database.batch(plainPlans, statement)).map(rawTask)
    },

    async nextDue(clusterId) {
      const [row] = await database.rows(nextDueStatement(clusterId))
      return { queued: row?.queued === true, next_at: typeof row?.next_at === 'number' ? row.next_at : null }
    },
  }
}

const rawLiveTask = (raw: Readonly<Record<string, unknown>>): LiveTask => ({
  task: rawTask(raw),
  provider_session_id: typeof raw.provider_session_id === 'string' ? raw.provider_session_id : null,
})
