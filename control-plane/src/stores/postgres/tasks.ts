import { DomainError } from '@rdev/shared/domain/errors'
import type { Task } from '@rdev/shared/domain/task'
import { and, desc, eq, inArray, lt, type SQL, sql } from 'drizzle-orm'
import type { ProjectFilter } from '../../ports/actor.ts'
import type { Clock } from '../../ports/clock.ts'
import type { TaskStore } from '../../ports/task-store.ts'
import { afterOf } from '../paging.ts'
import { isStorable, storableOrNull } from '../storable.ts'
import { plainPlans } from './claim.ts'
import { at, type Database } from './database.ts'
import { postgresInsert } from './insert.ts'
import { queueLaneOf, queueStatement } from './queue.ts'
import { rawTask, taskOf, type TaskRow, tasks } from './schema.ts'
import { endChanged, ends } from './task-statements.ts'

/** How often `change` reads and writes a row that others keep changing before it gives up. */
const maxChanges = 20

/** Bytes of text after which a page ends early: prompts and results may have megabytes, and Neon's answers have at most 64 MB. */
const maxPageBytes = 8 * 1024 * 1024

export function postgresTasks(database: Database, clock: Clock): TaskStore {
  const { db } = database
  const within = (projects: ProjectFilter) => (projects === null ? undefined : inArray(tasks.project_id, projects.filter(isStorable)))
  const get: TaskStore['get'] = async (id, projects) => {
    if (!isStorable(id)) return undefined
    const [row] = await database.run(
      db
        .select()
        .from(tasks)
        .where(and(eq(tasks.id, id), within(projects))),
    )
    return row && taskOf(row)
  }

  return {
    get,

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
        const before = await get(id, actor.project_ids)
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
