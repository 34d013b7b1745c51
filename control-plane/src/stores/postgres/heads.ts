// The claim index, and the steps through it: one look for each lane, ordering key and priority that has queued tasks, however many they are.
// Its second column is `lane`, not `project_id`, so that the planner prefers no other index for any of these steps.

import { type SQL, sql } from 'drizzle-orm'

/** All columns of the index as an ORDER BY: no other index can serve it. */
export const queueIndex: SQL = sql.raw('t.cluster_id, t.lane, t.turn, t.priority, t.run_after, t.id')

const columns = ['id', 'cluster_id', 'lane', 'turn', 'priority', 'run_after', 'queue_deadline_at', 'session_id', 'workspace', 'target']
export const headColumns = (alias: string): SQL => sql.raw(columns.map((column) => `${alias}.${column}`).join(', '))

const first = (where: SQL) =>
  sql`select ${headColumns('t')} from tasks t where ${where} and t.status = 'queued' order by ${queueIndex} limit 1`

/** The recursive CTE `lane_head`: for every lane with queued tasks its first row in the index, the head of its first ordering key. */
export const laneHeads = (start: SQL, next: SQL): SQL => sql`lane_head as (
  (${first(start)})
  union all
  select step.* from lane_head l cross join lateral (${first(sql`${next} and t.lane > l.lane`)}) step
)`

/** The recursive CTE `key_head`: starting from these rows, the head of every (ordering key, priority) of their lanes. */
export const keyHeads = (start: SQL): SQL => sql`key_head as (
  ${start}
  union all
  select step.* from key_head k cross join lateral (
    ${first(sql`t.cluster_id = k.cluster_id and t.lane = k.lane and (t.turn, t.priority) > (k.turn, k.priority)`)}
  ) step
)`

/** The head of the first ordering key of a lane. */
export const firstOfLane = (lane: string): SQL => first(sql.raw(`t.cluster_id = ${lane}.cluster_id and t.lane = ${lane}.id`))
