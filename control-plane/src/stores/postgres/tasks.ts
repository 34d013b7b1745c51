// Both ports over the table of tasks: TaskStore for callers of the API, DispatchStore for the hub.

import { DomainError } from '@rdev/shared/domain/errors'
import type { Task } from '@rdev/shared/domain/task'
import { and, desc, eq, inArray, lt, type SQL, sql } from 'drizzle-orm'
import type { ProjectFilter } from '../../ports/actor.ts'
import type { Clock } from '../../ports/clock.ts'
import type { DispatchStore, Fence, LiveTask } from '../../ports/dispatch-store.ts'
import type { TaskStore } from '../../ports/task-store.ts'
import { afterOf } from '../paging.ts'
import { isStorable, storableOrNull, storableOutcome } from '../storable.ts'
import { claimLock, claimStatement, plainPlans } from './claim.ts'
import { at, type Database } from './database.ts'
import { postgresInsert } from './insert.ts'
import { failMissingPodsStatement, missingPodsStatement } from './missing-pods.ts'
import { nextDueStatement, queueLaneOf, queueStatement } from './queue.ts'
import { rawTask, taskOf, type TaskRow, tasks } from './schema.ts'
import {
  endChanged,
  ends,
  expireStatement,
  finishStatement,
  markStartedStatement,
  renewStatement,
  requeueStatement,
  takeOverStatement,
} from './task-statements.ts'

/** How often `change` reads and writes a row that others keep changing before it gives up. */
const maxChanges = 20

/** Bytes of text after which a page ends early: prompts and results may have megabytes, and Neon's answers have at most 64 MB. */
const maxPageBytes = 8 * 1024 * 1024

const within = (projects: ProjectFilter) => (projects === null ? undefined : inArray(tasks.project_id, projects.filter(isStorable)))

async function read(database: Database, id: string, projects: ProjectFilter): Promise<Task | undefined> {
  if (!isStorable(id)) return undefined
  const [row] = await database.run(
    database.db
      .select()
      .from(tasks)
      .where(and(eq(tasks.id, id), within(projects))),
  )
  return row && taskOf(row)
}

/** What callers of the API ask of tasks. */
export function postgresTasks(database: Database, clock: Clock): TaskStore {
  const { db } = database
  return {
    get: (id, projects) => read(database, id, projects),

    insert: postgresInsert(database, clock),

    async list({ projects, project_id, session_id, status, kind }, page) {
      const after = afterOf(page)
      const wanted = and(
        within(projects),
        project_id === undefined ? undefined : eq(tasks.project_id, project_id),
        session_id === undefined ? undefined : eq(tasks.session_id, session_id),
        status === undefined ? undefined : eq(tasks.status, status),
        kind === undefined ? undefined : eq(tasks.kind, kind),
        after === null ? undefined : lt(tasks.id, after),
      )
      const found = db
        .select({
          id: tasks.id,
          bytes: sql<number>`octet_length(${tasks.spec}::text) + coalesce(octet_length(${tasks.result}), 0)`.as('bytes'),
        })
        .from(tasks)
        .where(wanted)
        .orderBy(desc(tasks.id))
        .limit(page.limit + 1)
        .as('found')
      const measured = db
        .select({
          id: found.id,
          before: sql<number>`sum(bytes) over (order by id desc) - bytes`.as('before'),
          count: sql<number>`(count(*) over ())::int`.as('count'),
        })
        .from(found)
        .as('measured')
      const rows = await database.run(
        db
          .select()
          .from(tasks)
          .innerJoin(measured, eq(measured.id, tasks.id))
          .where(sql`${measured.before} < ${maxPageBytes}`)
          .orderBy(desc(tasks.id)),
      )
      const data = rows.slice(0, page.limit).map((row) => taskOf(row.tasks))
      const more = data.length < (rows[0]?.measured.count ?? 0)
      return { data, next_cursor: more ? (data.at(-1)?.id ?? null) : null }
    },

    async change(id, actor, step) {
      for (let tries = 0; tries < maxChanges; tries++) {
        const before = await read(database, id, actor.project_ids)
        if (!before) return undefined
        const next = step(before)
        const changed = changedColumns(before, next)
        if (changed === null) return { before, after: before }
        if (ends(before, next)) {
          const [raw] = await database.rows(endChanged(next, changed, unmoved(before, 't')))
          if (raw) return { before, after: rawTask(raw) }
        } else {
          const [row] = await database.run(db.update(tasks).set(changed).where(unmoved(before, 'tasks')).returning())
          if (row) return { before, after: taskOf(row) }
        }
      }
      throw new DomainError('SERVICE_UNAVAILABLE', 'The task changes too fast to be changed; try again')
    },

    queue: async (filter, limit) => (await database.batch(plainPlans, queueStatement(filter, limit))).map(queueLaneOf),
  }
}

/** The hub's side of the queue. */
export function postgresDispatch(database: Database, clock: Clock): DispatchStore {
  const many = async (statement: SQL, fence?: Fence) =>
    (await (fence === undefined ? database.rows(statement) : database.batch(claimLock(fence.clusterId), statement))).map(rawTask)

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
      return changed ?? read(database, ref.task_id, null)
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

const texts = new Set<keyof Task>(['result', 'error'])

/** A condition: the row `name` is still as `step` saw it. */
export function unmoved({ id, status, attempt, cancel_requested_at }: Task, name: 't' | 'tasks'): SQL {
  const row = sql.raw(name)
  const requested = cancel_requested_at === null ? sql`null::timestamptz` : at(cancel_requested_at)
  return sql`${row}.id = ${id} and ${row}.status = ${status} and ${row}.attempt = ${attempt}::int
    and ${row}.cancel_requested_at is not distinct from ${requested}`
}

/** Only the columns that the step changed, so that a lease that was renewed meanwhile stays renewed. Null: it changed nothing. */
export function changedColumns(before: Task, after: Task): Partial<TaskRow> | null {
  const names = (Object.keys(after) as (keyof Task)[]).filter((name) => name !== 'spec' && after[name] !== before[name])
  if (names.length === 0) return null
  return Object.fromEntries(
    names.map((name) => {
      const value = after[name]
      return [name, texts.has(name) && typeof value === 'string' ? storableOrNull(value) : value]
    }),
  )
}
