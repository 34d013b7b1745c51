// The claim. Two statements in one transaction: a lock of the cluster's claims, then the claim with a snapshot taken after the lock was
// granted. In one statement the snapshot would be older than the lock, two claims at once would count the same live tasks, and
// `max_running` would not hold. (An own counter per lane would do it in one; it must then be right after every kind of end.)
//
// Its cost does not depend on how much is queued. It finds the lanes, ordering keys and priorities that have queued tasks by stepping through
// the index from one to the next (`lane_head`, `key_head`), and of each it reads only the first few due tasks.
// Lanes are ordered by start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996). stores/memory/claim.ts has the same steps and names;
// docs/queue.md has a table of them.

import { type SQL, sql } from 'drizzle-orm'
import type { Claim } from '../../ports/dispatch-store.ts'
import { after, columnsOf, storeNow } from './database.ts'
import { headColumns, laneHeads, keyHeads, queueIndex } from './heads.ts'
import { tasks } from './schema.ts'
import { openKeys } from './ordering-key.ts'

// Planner settings for this transaction. If the statistics are from a time when nothing was queued, the planner takes a sort of "one" row to
// be as good as the index. And it overestimates the rows of a recursion so much that it would compile the statement (jit).
const settings = sql.raw(['jit', 'enable_seqscan', 'enable_bitmapscan'].map((name) => `set_config('${name}', 'off', true)`).join(', '))
export const plainPlans: SQL = sql`select ${settings}`
export const claimLock = (clusterId: string): SQL =>
  sql`select ${settings}, pg_advisory_xact_lock(hashtextextended('claim ' || ${clusterId}::text, 0))`

const live = sql.raw(`('leased', 'running')`)
const isOpen = (key: string) => sql.raw(`${key} in (${openKeys.map((one) => `'${one}'`).join(', ')})`)
/** The task is not past its queue deadline. */
const waits = (row: string) => sql`(${sql.raw(row)}.queue_deadline_at is null or ${sql.raw(row)}.queue_deadline_at > ${storeNow})`

/**
 * How many tasks past their deadline the claim skips at the head of an ordering key. If there are more, the key waits until the hub has failed
 * them, which it does before its next claim.
 */
const steppedOver = sql.raw('16')

export function claimStatement(claim: Claim): SQL {
  const { clusterId, claimId, keyId, leaseMs, generation, number } = claim
  const slots = JSON.stringify(claim.slots.map(({ pod, pod_uid, project_id }) => ({ pod, pod_uid, class: project_id ?? '' })))
  return sql`
with recursive superseded as materialized (
  select from attempts where claim_id = ${claimId}
  union all
  select from pools where cluster_id = ${clusterId} and (generation <> ${generation} or claims >= ${number})
  union all
  select where ${keyId}::text is not null and not exists (
    select from api_keys
    where id = ${keyId}::text and cluster_id = ${clusterId} and revoked_at is null and (expires_at is null or expires_at > ${storeNow})
  )
),
slot as materialized (
  select pod, pod_uid, class, ord, row_number() over (partition by pod order by ord) as nth_in_pod
  from rows from (json_to_recordset(${slots}::json) as (pod text, pod_uid text, class text)) with ordinality as s (pod, pod_uid, class, ord)
),
pod_slots as materialized (select pod, min(pod_uid) as pod_uid, class, count(*) as slots from slot group by pod, class),
class_slots as materialized (select class, count(*) as slots from slot group by class),
${laneHeads(sql`t.cluster_id = ${clusterId} and not exists (select from superseded)`, sql`t.cluster_id = ${clusterId}`)},
live_task as materialized (
  select t.project_id, t.session_id, t.workspace from tasks t where t.cluster_id = ${clusterId} and t.status in ${live}
),
running as materialized (select project_id, count(*) from live_task group by project_id),
lane as materialized (
  select p.id, p.cluster_id, p.weight, p.allow_pool, p.max_running - coalesce(running.count, 0) as room, greatest(l.vtime, pool.vtime, 0) as next_tag
  from lane_head join projects p on p.id = lane_head.lane
  left join running on running.project_id = p.id
  left join lanes l on l.project_id = p.id
  left join pools pool on pool.cluster_id = p.cluster_id
  where not p.paused and coalesce(running.count, 0) < p.max_running
),
${keyHeads(sql`select h.* from lane_head h join lane on lane.id = h.lane`)},
ready as materialized (
  select key_head.*, ${isOpen('key_head.turn')} as open, lane.next_tag, lane.weight, lane.room, lane.allow_pool, class_slots.slots
  from key_head join lane on lane.id = key_head.lane
  left join class_slots on ${isOpen('key_head.turn')} and class_slots.class = case key_head.turn when 'pool' then '' else key_head.lane end
    and (class_slots.class <> '' or lane.allow_pool)
  where key_head.run_after <= ${storeNow} and (class_slots.class is not null or not ${isOpen('key_head.turn')})
),
-- At most as many lanes as the pool has slots: a head with a later start tag than all of theirs gets no slot.
horizon as materialized (
  select next_tag from (
    select next_tag, row_number() over (order by next_tag) as n, min(slots) over () as slots
    from (select distinct lane, next_tag, slots from ready where turn = 'pool' and ${waits('ready')}) lanes
  ) ranked
  where n = slots
),
-- Of an open ordering key as many as there may be slots for; of the others only the head.
wanted as materialized (
  select ready.*, case
    when not open then 1
    when turn = 'pool' and horizon.next_tag is not null
      then least(room, slots, greatest(0, floor((horizon.next_tag - ready.next_tag) * weight + 0.001)::int8 + 1))
    else least(room, slots)
  end as most
  from ready left join horizon on true
),
due as materialized (
  select ${headColumns('w')}, w.open, w.next_tag, w.weight, w.room, w.allow_pool from wanted w where w.most = 1 and ${waits('w')}
  union all
  select ${headColumns('t')}, w.open, w.next_tag, w.weight, w.room, w.allow_pool
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
  select h.*, s.pod as bound_pod, slot_class.class, row_number() over (partition by h.lane order by h.priority, h.run_after, h.id) as rank_in_lane
  from head h
  left join sessions s on s.id = h.session_id
  cross join lateral (
    select pod_slots.class from pod_slots where pod_slots.pod = s.pod and pod_slots.class in ('', h.lane)
    union all
    select class_slots.class from class_slots where s.pod is null and class_slots.class = case h.target when 'pool' then '' else h.lane end
    limit 1
  ) slot_class
  where (slot_class.class <> '' or h.allow_pool)
    and not exists (select from live_task l where l.project_id = h.lane and l.workspace = h.workspace)
    and not exists (select from live_task l where l.session_id = h.session_id)
    and (h.session_id is null or not exists (
      select from tasks e
      where e.session_id = h.session_id and e.status = 'queued' and e.run_after <= ${storeNow}
        and ${waits('e')} and (e.priority, e.run_after, e.id) < (h.priority, h.run_after, h.id)
    ))
),
-- The start tag of start-time fair queueing: the virtual time of the pool at which the task is served.
offered as (
  select *, next_tag + (row_number() over (partition by lane, class order by rank_in_lane) - 1)::float8 / weight as start_tag
  from fit where rank_in_lane <= room
),
fits_pod as (
  select *, row_number() over (partition by bound_pod order by start_tag, run_after, id) as rank_in_pod from offered
),
retagged as (
  select o.id, o.lane, o.run_after, o.bound_pod, o.class,
    o.next_tag + (row_number() over (partition by o.lane, o.class order by o.rank_in_lane) - 1)::float8 / o.weight as start_tag
  from fits_pod o left join pod_slots on pod_slots.pod = o.bound_pod
  where o.bound_pod is null or o.rank_in_pod <= pod_slots.slots
),
fits_class as (
  select *, row_number() over (partition by class order by start_tag, run_after, id) as rank_in_class from retagged
),
chosen as materialized (
  select o.* from fits_class o join class_slots using (class) where o.rank_in_class <= class_slots.slots
),
free_slot as (
  select class, pod, pod_uid, row_number() over (partition by class order by slots_left desc, ord) as n
  from (
    select slot.*, row_number() over (partition by slot.pod order by slot.ord desc) as slots_left
    from slot
    where slot.nth_in_pod > (select count(*) from chosen where chosen.bound_pod = slot.pod)
  ) s
),
free_task as (
  select id, class, row_number() over (partition by class order by rank_in_class) as n from chosen where bound_pod is null
),
placement as materialized (
  select chosen.id, class, pod_slots.pod, pod_slots.pod_uid from chosen join pod_slots using (class) where pod_slots.pod = chosen.bound_pod
  union all
  select free_task.id, class, free_slot.pod, free_slot.pod_uid from free_task join free_slot using (class, n)
),
held as materialized (
  select t.id from tasks t where t.id in (select id from placement) and t.status = 'queued' order by t.id for update skip locked
),
claimed as (
  update tasks t
  set status = 'leased', attempt = t.attempt + 1, pod = placement.pod, pod_uid = placement.pod_uid, claim_id = ${claimId},
    lease_until = ${after(leaseMs)}
  from held join placement using (id)
  where t.id = held.id
  returning ${columnsOf(tasks, 't')}
),
attempt_written as (
  insert into attempts (task_id, n, cluster_id, pod, pod_uid, claim_id, status, leased_at)
  select id, attempt, cluster_id, pod, pod_uid, claim_id, 'leased', ${storeNow} from claimed
),
-- Only slots of the pool move virtual time: slots in a project's own pods are not shared.
served as materialized (
  select lane.id, lane.cluster_id, lane.next_tag, lane.weight, count(*) as slots
  from claimed join placement on placement.id = claimed.id and placement.class = '' join lane on lane.id = claimed.lane
  group by lane.id, lane.cluster_id, lane.next_tag, lane.weight
),
lane_moved as (
  insert into lanes (project_id, vtime) select id, next_tag + slots::float8 / weight from served order by id
  on conflict (project_id) do update set vtime = excluded.vtime
),
pool_moved as (
  insert into pools as p (cluster_id, vtime, generation, claims)
  select clusters.id, coalesce((select max(next_tag + (slots - 1)::float8 / weight) from served), 0), ${generation}, ${number}
  from clusters where clusters.id = ${clusterId} and not exists (select from superseded)
  on conflict (cluster_id) do update set vtime = greatest(p.vtime, excluded.vtime), claims = excluded.claims
)
select ${columnsOf(tasks, 't')}, s.provider_session_id from claimed t left join sessions s on s.id = t.session_id
union all
select ${columnsOf(tasks, 't')}, s.provider_session_id from tasks t left join sessions s on s.id = t.session_id
where t.cluster_id = ${clusterId} and t.status in ${live} and t.claim_id = ${claimId}
order by id`
}
