// The statements that insert tasks. One task has a small statement of its own, because a client waits for it; many tasks are one statement
// from a list. A row that exists already stays as it is, and so does its session.
//
// `max_queued` is checked against the depth of the lane without counting a deep queue for each task: see insert.ts.

import type { TaskSpec } from '@rdev/shared/domain/task'
import { type SQL, sql } from 'drizzle-orm'
import type { NewTask } from '../../ports/task-store.ts'
import { at, columnsOf, storeNow } from './database.ts'
import { tasks } from './schema.ts'
import { openKeys, orderingKeyOf } from './ordering-key.ts'

const deadlineOf = ({ spec, created_at }: NewTask) => (spec.queue_ttl_s === null ? null : created_at + Math.round(spec.queue_ttl_s * 1000))

const none = sql`null::timestamptz`

/** How many tasks of a lane are queued, counted up to its cap, because the cost grows with the count. */
const depthOf = (project: string) =>
  sql.raw(`(select count(*) from (
    select from tasks q where q.cluster_id = ${project}.cluster_id and q.lane = ${project}.id and q.status = 'queued' limit ${project}.max_queued
  ) q)`)

/** Up to this `max_queued` the statement counts each time, so the cap is exact as of the statement's snapshot. */
const countedAlways = 1_000

/** `known`: the cached depth of the lane (depths.ts); null: the statement counts. */
const depth = (project: string, known: SQL) =>
  sql`case when ${known} is null or ${sql.raw(project)}.max_queued <= ${sql.raw(String(countedAlways))} then ${depthOf(project)} else ${known} end`

// Queued tasks of the session that have an open ordering key get the session's key: from now on they wait for each other. A task that is
// being leased at this moment is skipped: it waits for nobody any more.
const joinSessionKey = (from: SQL) => sql`rekeyed as (
  update tasks t set turn = t.session_id where t.id in (
    select q.id from tasks q where q.session_id in (${from}) and q.status = 'queued' and q.turn in ${openKeyList} for update skip locked
  )
)`
const openKeyList = sql.raw(`(${openKeys.map((key) => `'${key}'`).join(', ')})`)

/**
 * Always answers one row: the project's facts, and the task if it was inserted. Null project: there is none. `session`: the session exists;
 * `pool`: the task does not need the pool, or its project may use it.
 */
export function insertOneStatement(fresh: NewTask, known: number | null): SQL {
  const { id, spec, actor, created_at, new_session, retry_of } = fresh
  const deadline = deadlineOf(fresh)
  const continues = spec.session_id !== null && !new_session
  const begun = sql`, begun as (
  insert into sessions (id, project_id, provider, workspace, last_task_id, created_at, updated_at)
  select ${spec.session_id}, fresh.project_id, ${spec.provider}, ${spec.workspace}, ${id}, ${at(created_at)}, ${at(created_at)} from fresh
)`
  const continued = sql`, continued as (
  update sessions s set last_task_id = ${id}, updated_at = ${at(created_at)} from fresh where s.id = fresh.session_id
), ${joinSessionKey(sql`select fresh.session_id from fresh`)}`
  return sql`
with project as materialized (
  select p.id, p.cluster_id, ${depth('p', sql`${known}::int8`)} as depth, p.max_queued,
    ${continues ? sql`exists (select from sessions s where s.id = ${spec.session_id} and s.project_id = p.id)` : sql`true`} as session,
    ${spec.target === 'pool' ? sql`p.allow_pool` : sql`true`} as pool
  from projects p where p.id = ${spec.project_id}
),
fresh as (
  insert into tasks as t (id, project_id, session_id, workspace, kind, target, priority, timeout_s, spec, created_by, created_at, cluster_id,
    lane, turn, retry_of, status, run_after, queue_deadline_at)
  select ${id}, project.id, ${spec.session_id}, ${spec.workspace}, ${spec.kind}, ${spec.target}, ${spec.priority}::int, ${spec.timeout_s}::float8,
    ${JSON.stringify(spec)}::json, ${actor.key_id}, ${at(created_at)}, project.cluster_id, project.id, ${orderingKeyOf(spec, new_session)}, ${retry_of},
    -- If the caller's clock is ahead of the store's, take the store's: a new task must be due at once.
    'queued', greatest(least(${at(created_at)}, ${storeNow}), ${spec.run_after === null ? none : at(spec.run_after)}), ${deadline === null ? none : at(deadline)}
  from project where project.session and project.pool and project.depth < project.max_queued
  on conflict (id) do nothing
  returning ${columnsOf(tasks, 't')}
)${spec.session_id === null ? sql`` : new_session ? begun : continued}
select project.depth, project.session as has_session, project.pool as has_pool, project.depth < project.max_queued as has_room, ${columnsOf(tasks, 'fresh')}
from project left join fresh on true`
}

const specColumns = (spec: TaskSpec) => ({
  project_id: spec.project_id,
  session_id: spec.session_id,
  workspace: spec.workspace,
  provider: spec.provider,
  kind: spec.kind,
  target: spec.target,
  priority: spec.priority,
  timeout_s: spec.timeout_s,
})

/** Answers a row for each task of the list, by `ord`. */
export function insertManyStatement(list: readonly NewTask[], known: ReadonlyMap<string, number>): SQL {
  const instantOf = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString())
  const told = list.map((fresh, ord) => ({
    ord,
    id: fresh.id,
    ...specColumns(fresh.spec),
    new_session: fresh.new_session,
    spec: JSON.stringify(fresh.spec),
    created_by: fresh.actor.key_id,
    created_at: instantOf(fresh.created_at),
    turn: orderingKeyOf(fresh.spec, fresh.new_session),
    retry_of: fresh.retry_of,
    run_after: instantOf(fresh.spec.run_after),
    queue_deadline_at: instantOf(deadlineOf(fresh)),
  }))
  const depths = [...known].map(([id, depth]) => ({ id, depth }))
  return sql`
with told as materialized (
  select * from json_to_recordset(${JSON.stringify(told)}::json) as (
    ord int, id text, project_id text, session_id text, workspace text, provider text, kind text, target text, priority int, timeout_s float8,
    new_session bool, spec text, created_by text, created_at timestamptz(3), turn text, retry_of text, run_after timestamptz(3), queue_deadline_at timestamptz(3)
  )
),
known as materialized (select * from json_to_recordset(${JSON.stringify(depths)}::json) as (id text, depth int8)),
project as materialized (
  select p.id, p.cluster_id, p.max_queued, p.allow_pool, ${depth('p', sql`known.depth`)} as depth
  from projects p left join known using (id) where p.id in (select project_id from told)
),
-- A task that exists already, whose session is missing, or that may not use the pool, does not count against max_queued.
judged as materialized (
  select told.*, project.cluster_id, project.depth, project.max_queued, session.ok as has_session, pool.ok as has_pool,
    row_number() over (partition by told.project_id, session.ok and pool.ok and known_task.id is null order by told.ord) as nth
  from told
  left join project on project.id = told.project_id
  left join tasks known_task on known_task.id = told.id
  cross join lateral (
    select told.session_id is null or told.new_session
      or exists (select from sessions s where s.id = told.session_id and s.project_id = told.project_id) as ok
  ) session
  cross join lateral (select told.target <> 'pool' or coalesce(project.allow_pool, false) as ok) pool
),
fresh as (
  insert into tasks as t (id, project_id, session_id, workspace, kind, target, priority, timeout_s, spec, created_by, created_at, cluster_id,
    lane, turn, retry_of, status, run_after, queue_deadline_at)
  select id, project_id, session_id, workspace, kind, target, priority, timeout_s, spec::json, created_by, created_at, cluster_id,
    project_id, turn, retry_of, 'queued', greatest(least(created_at, ${storeNow}), run_after), queue_deadline_at
  from judged where cluster_id is not null and has_session and has_pool and depth + nth <= max_queued
  order by ord
  on conflict (id) do nothing
  returning ${columnsOf(tasks, 't')}
),
begun as (
  insert into sessions (id, project_id, provider, workspace, last_task_id, created_at, updated_at)
  select judged.session_id, judged.project_id, judged.provider, judged.workspace, judged.id, judged.created_at, judged.created_at
  from judged join fresh using (id) where judged.new_session and judged.session_id is not null
),
held as materialized (
  select s.id from sessions s where s.id in (select judged.session_id from judged join fresh using (id) where not judged.new_session)
  order by s.id for update
),
continued as (
  update sessions s set last_task_id = last.id, updated_at = last.created_at
  from held join (
    select distinct on (judged.session_id) judged.session_id, judged.id, judged.created_at from judged join fresh using (id)
    order by judged.session_id, judged.ord desc
  ) last on last.session_id = held.id
  where s.id = held.id
),
${joinSessionKey(sql`select held.id from held`)}
select judged.ord, judged.project_id as lane_id, judged.cluster_id is not null as has_project, judged.has_session, judged.has_pool,
  coalesce(judged.depth + judged.nth <= judged.max_queued, false) as has_room, judged.depth, ${columnsOf(tasks, 'fresh')}
from judged left join fresh using (id)
order by judged.ord`
}
