// The claim index, and the way through it. `lane` is its second column, not `project_id`, so that no other index can look as good to the
// planner for any of these steps.
import { type SQL, sql } from 'drizzle-orm'

/** The whole of the index as an order: only that index has it. */
export const queueIndex: SQL = sql.raw('t.cluster_id, t.lane, t.turn, t.priority, t.run_after, t.id')

/**
 * The recursive CTE `line`: every (lane, turn, priority) of these lanes that has something queued, found by one look into the index each,
 * however much is queued. `lanes`: the name of a CTE with `id` and `cluster_id`.
 */
export const linesOf = (lanes: string): SQL => {
  const step = (from: SQL) =>
    sql`select t.turn, t.priority from tasks t where ${from} and t.status = 'queued' order by ${queueIndex} limit 1`
  return sql`line as (
  select l.cluster_id, l.id as lane, step.turn, step.priority
  from ${sql.raw(lanes)} l cross join lateral (${step(sql`t.cluster_id = l.cluster_id and t.lane = l.id`)}) step
  union all
  select l.cluster_id, l.lane, step.turn, step.priority
  from line l cross join lateral (
    ${step(sql`t.cluster_id = l.cluster_id and t.lane = l.lane and (t.turn, t.priority) > (l.turn, l.priority)`)}
  ) step
)`
}
