// The claim. Two statements in one transaction: a lock of the cluster's claims, then the claim with a snapshot taken after the lock was
// granted. In one statement the snapshot would be older than the lock, two claims at once would count the same live tasks, and
// `max_running` would not hold. (An own counter per lane would do it in one; it must then be right after every kind of end.)
//
// What it costs does not depend on how much is queued. The lanes, turns and priorities that have anything queued are found by stepping
// through the index from one to the next (`lane_head`, `line`), and of each only the first few that are due are looked at.
// memory-claim.ts says in plain words who is chosen.

import { type SQL, sql } from 'drizzle-orm'
import type { Claim } from '../../ports/dispatch-store.ts'
import { after, columnsOf, storeNow } from './database.ts'
import { headColumns, laneHeads, lineHeads, queueIndex } from './heads.ts'
import { tasks } from './schema.ts'
import { openKeys } from './ordering-key.ts'

// The planner's settings for this transaction. Its statistics may be those of a minute in which nothing was queued, and by those a sort of
// "one" row is as good as the index; and it takes the steps of a recursion for so many rows that it would compile the statement.
const settings = sql.raw(['jit', 'enable_seqscan', 'enable_bitmapscan'].map((name) => `set_config('${name}', 'off', true)`).join(', '))
export const plainPlans: SQL = sql`select ${settings}`
export const claimLock = (clusterId: string): SQL =>
  sql`select ${settings}, pg_advisory_xact_lock(hashtextextended('claim ' || ${clusterId}::text, 0))`

const live = sql.raw(`('leased', 'running')`)
const open = (turn: string) => sql.raw(`${turn} in (${openKeys.map((one) => `'${one}'`).join(', ')})`)
/** Not past its deadline. */
const waits = (row: string) => sql`(${sql.raw(row)}.queue_deadline_at is null or ${sql.raw(row)}.queue_deadline_at > ${storeNow})`

/**
 * Tasks past their deadline at the head of a turn that are stepped over. Behind more of them the turn waits until they are failed, which
 * the hub does before it asks again.
 */
const steppedOver = sql.raw('16')

export function claimStatement(claim: Claim): SQL {
  const { clusterId, claimId, leaseMs, generation, number } = claim
  const slots = JSON.stringify(claim.slots.map(({ pod, pod_uid, project_id }) => ({ pod, pod_uid, class: project_id ?? '' })))
  return sql`
with recursive superseded as materialized (
  select from attempts where claim_id = ${claimId}
  union all
  select from pools where cluster_id = ${clusterId} and (generation <> ${generation} or claims >= ${number})
),
slot as materialized (
  select pod, pod_uid, class, ord, row_number() over (partition by pod order by ord) as seat
  from rows from (json_to_recordset(${slots}::json) as (pod text, pod_uid text, class text)) with ordinality as s (pod, pod_uid, class, ord)
),
pods as materialized (select pod, min(pod_uid) as pod_uid, class, count(*) as seats from slot group by pod, class),
classes as materialized (select class, count(*) as seats from slot group by class),
${laneHeads(sql`t.cluster_id = ${clusterId} and not exists (select from superseded)`, sql`t.cluster_id = ${clusterId}`)},
live_task as materialized (
  select t.project_id, t.session_id, t.workspace from tasks t where t.cluster_id = ${clusterId} and t.status in ${live}
),
running as materialized (select project_id, count(*) from live_task group by project_id),
lane as materialized (
  select p.id, p.cluster_id, p.weight, p.max_running - coalesce(running.count, 0) as room, greatest(l.vtime, pool.vtime, 0) as base
  from lane_head join projects p on p.id = lane_head.lane
  left join running on running.project_id = p.id
  left join lanes l on l.project_id = p.id
  left join pools pool on pool.cluster_id = p.cluster_id
  where not p.paused and coalesce(running.count, 0) < p.max_running
),
${lineHeads(sql`select h.* from lane_head h join lane on lane.id = h.lane`)},
ready as materialized (
  select line.*, ${open('line.turn')} as open, lane.base, lane.weight, lane.room, classes.seats
  from line join lane on lane.id = line.lane
  left join classes on ${open('line.turn')} and classes.class = case line.turn when 'pool' then '' else line.lane end
  where line.run_after <= ${storeNow} and (classes.class is not null or not ${open('line.turn')})
),
-- As many lanes as the pool has places are ready for it: nothing whose turn comes after the heads of them all gets one.
horizon as materialized (
  select base from (
    select base, row_number() over (order by base) as n, min(seats) over () as seats
    from (select distinct lane, base, seats from ready where turn = 'pool' and ${waits('ready')}) lanes
  ) ranked
  where n = seats
),
-- Of an open turn as many as there may be places for, of the others the first.
wanted as materialized (
  select ready.*, case
    when not open then 1
    when turn = 'pool' and horizon.base is not null
      then least(room, seats, greatest(0, floor((horizon.base - ready.base) * weight + 0.001)::int8 + 1))
    else least(room, seats)
  end as most
  from ready left join horizon on true
),
due as materialized (
  select ${headColumns('w')}, w.open, w.base, w.weight, w.room from wanted w where w.most = 1 and ${waits('w')}
  union all
  select ${headColumns('t')}, w.open, w.base, w.weight, w.room
  from wanted w cross join lateral (
    select * from (
      select ${headColumns('t')} from tasks t
      where t.cluster_id = ${clusterId} and t.status = 'queued' and t.lane = w.lane and t.turn = w.turn and t.priority = w.priority
        and t.run_after <= ${storeNow}
      order by ${queueIndex}
      limit w.most + ${steppedOver}
    ) t
    where ${waits('t')}
    limit w.most
  ) t
  where w.most > 1 or (w.most = 1 and not ${waits('w')})
),
head as (
  select * from due where open
  union all
  (select distinct on (lane, turn) * from due where not open order by lane, turn, priority, run_after, id)
),
fit as materialized (
  select h.*, s.pod as home, place.class, row_number() over (partition by h.lane order by h.priority, h.run_after, h.id) as rank_in_lane
  from head h
  left join sessions s on s.id = h.session_id
  cross join lateral (
    select pods.class from pods where pods.pod = s.pod and pods.class in ('', h.lane)
    union all
    select classes.class from classes where s.pod is null and classes.class = case h.target when 'pool' then '' else h.lane end
    limit 1
  ) place
  where not exists (select from live_task l where l.project_id = h.lane and l.workspace = h.workspace)
    and not exists (select from live_task l where l.session_id = h.session_id)
    and (h.session_id is null or not exists (
      select from tasks e
      where e.session_id = h.session_id and e.status = 'queued' and e.run_after <= ${storeNow}
        and ${waits('e')} and (e.priority, e.run_after, e.id) < (h.priority, h.run_after, h.id)
    ))
),
-- The tag is the virtual time at which a task's turn among the lanes comes.
offered as (
  select *, base + (row_number() over (partition by lane, class order by rank_in_lane) - 1)::float8 / weight as tag
  from fit where rank_in_lane <= room
),
fits_pod as (
  select *, row_number() over (partition by home order by tag, run_after, id) as rank_in_pod from offered
),
tagged as (
  select o.id, o.lane, o.run_after, o.home, o.class,
    o.base + (row_number() over (partition by o.lane, o.class order by o.rank_in_lane) - 1)::float8 / o.weight as tag
  from fits_pod o left join pods on pods.pod = o.home
  where o.home is null or o.rank_in_pod <= pods.seats
),
fits_class as (
  select *, row_number() over (partition by class order by tag, run_after, id) as rank_in_class from tagged
),
chosen as materialized (
  select o.* from fits_class o join classes using (class) where o.rank_in_class <= classes.seats
),
free_seat as (
  select class, pod, pod_uid, row_number() over (partition by class order by seats_left desc, ord) as n
  from (
    select slot.*, row_number() over (partition by slot.pod order by slot.ord desc) as seats_left
    from slot
    where slot.seat > (select count(*) from chosen where chosen.home = slot.pod)
  ) s
),
free_task as (
  select id, class, row_number() over (partition by class order by rank_in_class) as n from chosen where home is null
),
seating as materialized (
  select chosen.id, class, pods.pod, pods.pod_uid from chosen join pods using (class) where pods.pod = chosen.home
  union all
  select free_task.id, class, free_seat.pod, free_seat.pod_uid from free_task join free_seat using (class, n)
),
held as materialized (
  select t.id from tasks t where t.id in (select id from seating) and t.status = 'queued' order by t.id for update skip locked
),
claimed as (
  update tasks t
  set status = 'leased', attempt = t.attempt + 1, pod = seating.pod, pod_uid = seating.pod_uid, claim_id = ${claimId},
    lease_until = ${after(leaseMs)}
  from held join seating using (id)
  where t.id = held.id
  returning ${columnsOf(tasks, 't')}
),
noted as (
  insert into attempts (task_id, n, cluster_id, pod, pod_uid, claim_id, status, leased_at)
  select id, attempt, cluster_id, pod, pod_uid, claim_id, 'leased', ${storeNow} from claimed
),
-- Only places of the pool move virtual time: those in a project's own pods are nobody else's.
served as materialized (
  select lane.id, lane.cluster_id, lane.base, lane.weight, count(*) as places
  from claimed join seating on seating.id = claimed.id and seating.class = '' join lane on lane.id = claimed.lane
  group by lane.id, lane.cluster_id, lane.base, lane.weight
),
lane_moved as (
  insert into lanes (project_id, vtime) select id, base + places::float8 / weight from served order by id
  on conflict (project_id) do update set vtime = excluded.vtime
),
pool_moved as (
  insert into pools as p (cluster_id, vtime, generation, claims)
  select clusters.id, coalesce((select max(base + (places - 1)::float8 / weight) from served), 0), ${generation}, ${number}
  from clusters where clusters.id = ${clusterId} and not exists (select from superseded)
  on conflict (cluster_id) do update set vtime = greatest(p.vtime, excluded.vtime), claims = excluded.claims
)
select ${columnsOf(tasks, 't')}, s.provider_session_id from claimed t left join sessions s on s.id = t.session_id
union all
select ${columnsOf(tasks, 't')}, s.provider_session_id from tasks t left join sessions s on s.id = t.session_id
where t.cluster_id = ${clusterId} and t.status in ${live} and t.claim_id = ${claimId}
order by id`
}
