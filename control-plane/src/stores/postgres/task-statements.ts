// The statements between a task's lease and its end. Each changes everything at once, fenced by (task, attempt). Statements that change
// several rows lock them in the order of their ids, so that two of them cannot deadlock.

import type { AttemptRef } from '@rdev/shared/domain/attempt'
import type { Usage } from '@rdev/shared/domain/event'
import { maxEndedAtOnce } from '@rdev/shared/domain/limits'
import { expired, isTerminal, type Task, type TaskOutcome } from '@rdev/shared/domain/task'
import { type SQL, sql } from 'drizzle-orm'
import type { Fence } from '../../ports/dispatch-store.ts'
import { after, at, columnsOf, storeNow } from './database.ts'
import { tasks } from './schema.ts'

const live = sql.raw(`('leased', 'running')`)
const refs = (list: readonly AttemptRef[]) =>
  sql`json_to_recordset(${JSON.stringify(list.map(({ task_id, attempt }) => ({ task_id, attempt })))}::json) as (task_id text, attempt int)`

export function markStartedStatement(started: readonly (AttemptRef & { started_at: number })[]): SQL {
  const list = JSON.stringify(started.map((one) => ({ ...one, started_at: new Date(one.started_at).toISOString() })))
  return sql`
with told as materialized (
  select * from json_to_recordset(${list}::json) as (task_id text, attempt int, started_at timestamptz(3))
),
held as materialized (
  select t.id from tasks t where t.id in (select task_id from told) order by t.id for update
),
moved as (
  update tasks t set status = 'running', started_at = told.started_at
  from held join told on told.task_id = held.id
  where t.id = held.id and t.status = 'leased' and t.attempt = told.attempt
  returning t.id, t.attempt, t.started_at
)
update attempts a set status = 'running', started_at = moved.started_at from moved where a.task_id = moved.id and a.n = moved.attempt`
}

/** True if the fence holds. Run it after taking the lock of the cluster's claims, which `takeOver` holds too. */
const unfenced = (fence: Fence | undefined): SQL =>
  fence === undefined
    ? sql``
    : sql` and not exists (select from pools where cluster_id = ${fence.clusterId} and generation <> ${fence.generation})`

export function requeueStatement(list: readonly AttemptRef[], runAfter: number, fence?: Fence): SQL {
  return sql`
with told as materialized (select * from ${refs(list)}),
held as materialized (
  select t.id from tasks t where t.id in (select task_id from told) order by t.id for update
),
moved as (
  update tasks t set status = 'queued', pod = null, pod_uid = null, claim_id = null, lease_until = null, run_after = ${at(runAfter)}
  from held join told on told.task_id = held.id
  where t.id = held.id and t.status = 'leased' and t.attempt = told.attempt${unfenced(fence)}
  returning ${columnsOf(tasks, 't')}
),
noted as (
  update attempts a set status = 'requeued', ended_at = ${storeNow} from moved where a.task_id = moved.id and a.n = moved.attempt
)
select * from moved order by id`
}

const addedUsage = (usage: Usage): SQL => {
  const fields = Object.entries(usage).map(
    ([name, tokens]) => sql`${name}::text, coalesce((t.usage->>${name}::text)::bigint, 0) + ${tokens}::bigint`,
  )
  return sql`json_build_object(${sql.join(fields, sql`, `)})`
}

/** Answers the row if it changed it. `end` must be storable; `now` is the clock of the times that clients see. */
export function finishStatement(ref: AttemptRef, end: TaskOutcome, retryAt: number | null, now: number, fence?: Fence): SQL {
  // The statement reads the cancel request in the row that it writes: what a caller read before may be stale.
  const set = (ended: SQL, again: SQL) =>
    retryAt === null ? ended : sql`case when t.cancel_requested_at is null then ${again} else ${ended} end`
  const keep = (column: keyof Task) => sql.raw(`t.${column}`)
  const begun = end.duration_ms === null ? sql`null::timestamptz` : at(now - end.duration_ms)
  const taskBegun = end.duration_ms === null ? keep('started_at') : sql`coalesce(t.started_at, greatest(t.created_at, ${begun}))`
  const none = sql`null::timestamptz`
  const json = (value: unknown) => sql`${value === null ? null : JSON.stringify(value)}::json`
  const sessionToo = sql`, session_written as (
  update sessions s set provider_session_id = ${end.provider_session_id}, pod = attempt_written.pod, updated_at = ${at(now)}
  from ended join attempt_written on true where s.id = ended.session_id
)`
  return endTasks({
    set: {
      status: set(sql`${end.status}::text`, sql`'queued'`),
      run_after: set(keep('run_after'), retryAt === null ? none : at(retryAt)),
      queue_deadline_at: set(keep('queue_deadline_at'), none),
      pod: set(keep('pod'), sql`null`),
      pod_uid: set(keep('pod_uid'), sql`null`),
      claim_id: set(keep('claim_id'), sql`null`),
      started_at: set(taskBegun, none),
      finished_at: set(at(now), none),
      exit_code: set(sql`${end.exit_code}::int`, keep('exit_code')),
      result: set(sql`${end.result}::text`, keep('result')),
      error_code: set(sql`${end.error_code}::text`, keep('error_code')),
      error: set(sql`${end.error}::text`, keep('error')),
      // Of all attempts together, whether another follows or not.
      usage: end.usage === null ? keep('usage') : addedUsage(end.usage),
      cost_usd: end.cost_usd === null ? keep('cost_usd') : sql`coalesce(t.cost_usd, 0) + ${end.cost_usd}::float8`,
      denied_tools: set(json(end.denied_tools), keep('denied_tools')),
    },
    // Its session has a pod now, so it may not run in any other pod of its target.
    orderingKey: set(sql`t.turn`, sql`case when t.workspace is null then coalesce(t.session_id, t.turn) else t.turn end`),
    where: sql`t.id = ${ref.task_id} and t.attempt = ${ref.attempt}::int and t.status in ${live}${unfenced(fence)}`,
    also: sql`, attempt_written as (
  update attempts a set status = ${end.status}, ended_at = ${at(now)}, started_at = coalesce(a.started_at, ${begun}),
    exit_code = ${end.exit_code}::int, error_code = ${end.error_code}
  from ended where a.task_id = ended.id and a.n = ended.attempt
  returning a.pod
)${end.provider_session_id === null ? sql`` : sessionToo}`,
  })
}

export function renewStatement(clusterId: string, list: readonly AttemptRef[], leaseMs: number): SQL {
  return sql`
with told as materialized (select * from ${refs(list)}),
held as materialized (
  select t.id from tasks t where t.id in (select task_id from told) order by t.id for update
)
update tasks t set lease_until = ${after(leaseMs)}
from held join told on told.task_id = held.id
where t.id = held.id and t.attempt = told.attempt and t.cluster_id = ${clusterId} and t.status in ${live}`
}

export function expireStatement(clusterId: string): SQL {
  const chosen = sql`
with held as materialized (
  select t.id from tasks t
  where t.id in (
    select q.id from tasks q
    where q.cluster_id = ${clusterId} and q.status = 'queued' and q.queue_deadline_at <= ${storeNow}
    order by q.queue_deadline_at limit ${sql.raw(String(maxEndedAtOnce))}
  ) and t.status = 'queued'
  order by t.id for update skip locked
)`
  return endQueued(chosen, expired)
}

/** Answers a row for each live task, or one row without a task. Run it after taking the lock of the cluster's claims, so that it sees all leases. */
export function takeOverStatement(clusterId: string, generation: number): SQL {
  return sql`
with taken as (
  insert into pools as p (cluster_id, generation) select id, ${generation}::int from clusters where id = ${clusterId}
  on conflict (cluster_id) do update set generation = greatest(p.generation, excluded.generation),
    claims = case when excluded.generation > p.generation then 0 else p.claims end
  returning generation
)
select coalesce((select generation from taken), ${generation}::int) as generation, ${columnsOf(tasks, 't')}, s.provider_session_id
from (values (1)) one left join tasks t on t.cluster_id = ${clusterId} and t.status in ${live} left join sessions s on s.id = t.session_id
order by t.id`
}

// How rows of tasks end. Every statement that ends tasks is made here, so that whatever must be written with an end is written in one place.

/** What the end sets in the rows. `status`, `error_code` and `error` say how it ended; of the others what is given. */
export type EndColumns = { readonly [Column in keyof Task]?: SQL } & Readonly<
  Record<'status' | 'error_code' | 'error' | 'finished_at', SQL>
>

export interface Ending {
  /** CTEs that choose the rows, each with its comma; the first begins with `with`. */
  readonly choose?: SQL
  readonly set: EndColumns
  /** Its new place in the order, if it has another: see ordering-key.ts. */
  readonly orderingKey?: SQL
  /** What is joined to `tasks t`. */
  readonly from?: SQL
  readonly where: SQL
  /** CTEs about the rows that changed, `ended`, each with its comma before it. */
  readonly also?: SQL
}

const none = sql``

/**
 * Ends the rows, and answers them by id. A `set` may let some go back to the queue instead (another attempt): their status says so, and
 * what is written about ends leaves them out (`where ended.status in terminal`).
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

/** Of queued rows, which have no attempt that could say more; `choose` names them `held`. */
export function endQueued(choose: SQL, how: Readonly<Record<'status' | 'error_code' | 'error', string>>): SQL {
  const said = { status: sql`${how.status}::text`, error_code: sql`${how.error_code}::text`, error: sql`${how.error}::text` }
  return endTasks({ choose: sql`${choose},`, set: { ...said, finished_at: storeNow }, from: sql`held`, where: sql`t.id = held.id` })
}

/** One row, by what a transition of the domain made of it; `changed` are its new values as drizzle takes them, `where` its fence. */
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
