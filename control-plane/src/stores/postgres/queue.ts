// The view of the queue for operators: the lanes with their depths, and what their heads wait for. Depths are counted in the claim index
// alone, which takes about 0.1 µs a queued task; everything else is a few index look-ups per lane.

import { type SQL, sql } from 'drizzle-orm'
import type { ProjectFilter } from '../../ports/actor.ts'
import type { QueueLane, WaitReason } from '../../ports/task-store.ts'
import { storeNow } from './database.ts'
import { firstOfLane, keyHeads } from './heads.ts'
import { isStorable } from '../storable.ts'

const live = sql.raw(`('leased', 'running')`)
const ms = (instant: string) => sql.raw(`(extract(epoch from ${instant}) * 1000)::float8`)

export function queueStatement(filter: { projects: ProjectFilter; project_id?: string }, limit: number): SQL {
  const names = (list: readonly string[]) => sql`${JSON.stringify(list.filter(isStorable))}::json`
  const mine = filter.projects === null ? sql`true` : sql`p.id in (select json_array_elements_text(${names(filter.projects)}))`
  const one = filter.project_id === undefined ? sql`true` : sql`p.id in (select json_array_elements_text(${names([filter.project_id])}))`
  return sql`
with recursive lane as materialized (
  select p.id, p.cluster_id, p.max_running, p.weight, p.max_queued, p.paused, p.allow_pool, q.depth::int8 as depth, q.oldest, q.priorities
  from projects p cross join lateral (
    select sum(n) as depth, min(oldest) as oldest, json_agg(json_build_object('priority', priority, 'depth', n) order by priority) as priorities
    from (
      select t.priority, count(*) as n, min(t.id) as oldest from tasks t
      where t.cluster_id = p.cluster_id and t.lane = p.id and t.status = 'queued' group by t.priority
    ) by_priority
  ) q
  where ${mine} and ${one} and q.depth > 0
  order by q.depth desc, p.id
  limit ${limit}::int8
),
${keyHeads(sql`select step.* from lane cross join lateral (${firstOfLane('lane')}) step`)},
-- The head is the first due task or, if none is due, the one that is due next.
head as materialized (
  select distinct on (t.lane) t.id, t.lane, t.run_after, t.target, t.workspace, t.session_id, t.run_after > ${storeNow} as later
  from key_head t
  order by t.lane, t.run_after > ${storeNow}, case when t.run_after <= ${storeNow} then t.priority end, t.run_after, t.priority, t.id
)
select lane.id as project_id, lane.cluster_id, lane.max_running, lane.weight, lane.max_queued, lane.paused, lane.allow_pool, lane.depth::float8 as depth,
  running.count::int as live, ${ms('oldest.created_at')} as oldest_at, lane.priorities, head.id as task_id, head.target, head.later,
  ${ms('head.run_after')} as run_after, workspace.id as workspace_by, session.id as session_by,
  conversation.pod as session_pod
from lane
join head on head.lane = lane.id
join tasks oldest on oldest.id = lane.oldest
cross join lateral (select count(*) from tasks t where t.project_id = lane.id and t.status in ${live}) running
left join tasks workspace on workspace.project_id = lane.id and workspace.workspace = head.workspace and workspace.status in ${live}
left join sessions conversation on conversation.id = head.session_id
left join tasks session on session.session_id = head.session_id and session.status in ${live}
order by lane.depth desc, lane.id`
}

export function queueLaneOf(row: Readonly<Record<string, unknown>>): QueueLane {
  const text = (name: string) => String(row[name])
  const textOrNull = (name: string) => (typeof row[name] === 'string' ? row[name] : null)
  const paused = row.paused === true
  const allow_pool = row.allow_pool === true
  const by = { workspace: textOrNull('workspace_by'), session: textOrNull('session_by') }
  const inTheWay = (): { reason: WaitReason; by: string | null } => {
    if (row.later === true) return { reason: 'later', by: null }
    if (paused) return { reason: 'paused', by: null }
    if (row.target === 'pool' && row.session_pod === null && !allow_pool) return { reason: 'pool_not_allowed', by: null }
    if (Number(row.live) >= Number(row.max_running)) return { reason: 'max_running', by: null }
    for (const reason of ['workspace', 'session'] as const) if (by[reason] !== null) return { reason, by: by[reason] }
    return { reason: 'due', by: null }
  }
  return {
    project_id: text('project_id'),
    cluster_id: text('cluster_id'),
    depth: Number(row.depth),
    live: Number(row.live),
    max_running: Number(row.max_running),
    weight: Number(row.weight),
    max_queued: Number(row.max_queued),
    paused,
    allow_pool,
    oldest_at: Number(row.oldest_at),
    priorities: row.priorities as QueueLane['priorities'],
    head: {
      task_id: text('task_id'),
      ...inTheWay(),
      target: row.target === 'pool' ? 'pool' : 'project',
      session_pod: textOrNull('session_pod'),
      run_after: Number(row.run_after),
    },
  }
}

/** Uses indexes and counts nothing, because the hub asks repeatedly while something is queued. */
export function nextDueStatement(clusterId: string): SQL {
  const instant = (column: string, more: SQL) => sql`(
    select ${ms(`t.${column}`)} from tasks t where t.cluster_id = ${clusterId} and t.status = 'queued' and ${more} order by ${sql.raw(`t.${column}`)} limit 1
  )`
  return sql`
select exists (select from tasks t where t.cluster_id = ${clusterId} and t.status = 'queued' and t.project_id <> '') as queued,
  least(
    ${instant('run_after', sql`t.project_id <> '' and t.run_after > ${storeNow}`)},
    ${instant('queue_deadline_at', sql`t.queue_deadline_at is not null`)}
  ) as next_at`
}
