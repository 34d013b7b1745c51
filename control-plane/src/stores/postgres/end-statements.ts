// Every statement that ends tasks is made here, so that what must be written together with an end is written by a single function.

import { isTerminal, type Task } from '@rdev/shared/domain/task'
import { type SQL, sql } from 'drizzle-orm'
import { columnsOf, storeNow } from './database.ts'
import { tasks } from './schema.ts'

/** The columns that the end sets. `status`, `error_code` and `error` say how the task ended; others are optional. */
export type EndColumns = { readonly [Column in keyof Task]?: SQL } & Readonly<
  Record<'status' | 'error_code' | 'error' | 'finished_at', SQL>
>

export interface Ending {
  /** CTEs that choose the rows, each followed by a comma; the first begins with `with`. */
  readonly choose?: SQL
  readonly set: EndColumns
  /** The new ordering key, if it changes: see ordering-key.ts. */
  readonly orderingKey?: SQL
  /** What is joined to `tasks t`. */
  readonly from?: SQL
  readonly where: SQL
  /** CTEs about the changed rows, `ended`, each with a comma before it. */
  readonly also?: SQL
}

const none = sql``

/**
 * Ends the rows, and answers them by id. `set` may return some of them to the queue instead (another attempt): their status says so, and what
 * is written about ends leaves them out (`where ended.status in terminal`).
 */
export function endTasks({ choose = sql`with`, set, orderingKey = sql`t.turn`, from, where, also = none }: Ending): SQL {
  const columns = Object.entries({ lease_until: sql`null`, turn: orderingKey, ...set }).map(
    ([name, value]) => sql`${sql.raw(name)} = ${value}`,
  )
  return sql`
${choose} ended as (
  update tasks t set ${sql.join(columns, sql`, `)}
  ${from === undefined ? none : sql`from ${from}`}
  where ${where}
  returning ${columnsOf(tasks, 't')}
)${also}
select * from ended order by id`
}

/** Ends queued rows, which have no attempt that could report more; `choose` names them `held`. */
export function endQueued(choose: SQL, how: Readonly<Record<'status' | 'error_code' | 'error', string>>): SQL {
  const said = { status: sql`${how.status}::text`, error_code: sql`${how.error_code}::text`, error: sql`${how.error}::text` }
  return endTasks({ choose: sql`${choose},`, set: { ...said, finished_at: storeNow }, from: sql`held`, where: sql`t.id = held.id` })
}

/** Ends one row as a transition of the domain did; `changed` are its new values in drizzle's form, `where` is its fence. */
export function endChanged(after: Task, changed: Readonly<Record<string, unknown>>, where: SQL): SQL {
  const columns = Object.entries(changed).map(([name, value]) => {
    const column = tasks[name as keyof Task & keyof typeof tasks.$inferSelect]
    return [name, value === null ? sql`null` : sql`${sql.param(value, column)}`]
  })
  const said = { status: sql`${after.status}::text`, error_code: sql`${after.error_code}::text`, error: sql`${after.error}::text` }
  return endTasks({ set: { ...said, ...Object.fromEntries(columns) } as EndColumns, where })
}

/** Whether this change of the row ends it. */
export const ends = (before: Task, after: Task): boolean => !isTerminal(before.status) && isTerminal(after.status)
