// The claim. Two statements in one transaction: a lock of the cluster's claims, then the claim with a snapshot taken after the lock was
// granted. In one statement the snapshot would be older than the lock, two claims at once would count the same live tasks, and
// `max_running` would not hold. (An own counter per lane would do it in one; it must then be right after every kind of end.)
//
// The choice is made per project first (its room, the head of its lane by index), then per pod, then per class of slot: the project's pods
// or the pool. A task that no slot fits takes no room. Each claim with something feasible leases at least one; the hub claims again while
// slots are left. A session with a pod goes to that pod only, so those are seated first; the others go to the emptiest pod.

import { type SQL, sql } from 'drizzle-orm'
import type { Slot } from '../ports.ts'
import { after, columnsOf, storeNow } from './postgres-connection.ts'
import { tasks } from './schema.ts'

export const claimLock = (clusterId: string): SQL => sql`select pg_advisory_xact_lock(hashtextextended('claim ' || ${clusterId}::text, 0))`

/** The queue's order: priority, when it was due, arrival (ids begin with their time). */
const order = sql.raw('t.priority, t.run_after, t.id')
const live = sql.raw(`('leased', 'running')`)

export function claimStatement(claim: { clusterId: string; claimId: string; slots: readonly Slot[]; leaseMs: number }): SQL {
  const { clusterId, claimId, leaseMs } = claim
  const slots = JSON.stringify(claim.slots.map(({ pod, project_id }) => ({ pod, class: project_id ?? '' })))
  return sql`
with slot as materialized (
  select pod, class, ord, row_number() over (partition by pod order by ord) as seat
  from rows from (json_to_recordset(${slots}::json) as (pod text, class text)) with ordinality as s (pod, class, ord)
),
pods as materialized (select pod, class, count(*) as seats from slot group by pod, class),
classes as materialized (select class, count(*) as seats from slot group by class),
lane as materialized (
  select p.id, p.max_running - (select count(*) from tasks l where l.project_id = p.id and l.status in ${live}) as room
  from projects p
  where p.cluster_id = ${clusterId} and not exists (select from attempts a where a.claim_id = ${claimId})
),
head as materialized (
  select h.* from lane cross join lateral (
    select t.id, t.priority, t.run_after, s.pod as home, fit.class
    from tasks t
    left join sessions s on s.id = t.session_id
    cross join lateral (
      select pods.class from pods where pods.pod = s.pod and pods.class in ('', t.project_id)
      union all
      select classes.class from classes
      where s.pod is null and classes.class = case t.target when 'pool' then '' else t.project_id end
      limit 1
    ) fit
    where t.project_id = lane.id and t.status = 'queued' and t.run_after <= ${storeNow}
      and (t.queue_deadline_at is null or t.queue_deadline_at > ${storeNow})
      and (t.session_id is null or not exists (select from tasks l where l.session_id = t.session_id and l.status in ${live}))
      and (t.session_id is null or not exists (
        select from tasks e
        where e.session_id = t.session_id and e.status = 'queued' and e.run_after <= ${storeNow}
          and (e.queue_deadline_at is null or e.queue_deadline_at > ${storeNow})
          and (e.priority, e.run_after, e.id) < (t.priority, t.run_after, t.id)
      ))
    order by ${order}
    limit greatest(lane.room, 0)
  ) h
),
fits_pod as (
  select t.*, row_number() over (partition by t.home order by ${order}) as rank_in_pod from head t
),
fits_class as (
  select t.*, row_number() over (partition by t.class order by ${order}) as rank_in_class
  from fits_pod t left join pods on pods.pod = t.home
  where t.home is null or t.rank_in_pod <= pods.seats
),
chosen as materialized (
  select t.* from fits_class t join classes using (class) where t.rank_in_class <= classes.seats
),
free_seat as (
  select class, pod, row_number() over (partition by class order by seats_left desc, ord) as n
  from (
    select slot.*, row_number() over (partition by slot.pod order by slot.ord desc) as seats_left
    from slot
    where slot.seat > (select count(*) from chosen where chosen.home = slot.pod)
  ) s
),
free_task as (
  select t.id, t.class, row_number() over (partition by t.class order by ${order}) as n from chosen t where t.home is null
),
seating as materialized (
  select id, home as pod from chosen where home is not null
  union all
  select free_task.id, free_seat.pod from free_task join free_seat using (class, n)
),
held as materialized (
  select t.id from tasks t where t.id in (select id from seating) and t.status = 'queued' order by t.id for update skip locked
),
claimed as (
  update tasks t
  set status = 'leased', attempt = t.attempt + 1, pod = seating.pod, claim_id = ${claimId}, lease_until = ${after(leaseMs)}
  from held join seating using (id)
  where t.id = held.id
  returning ${columnsOf(tasks, 't')}
),
noted as (
  insert into attempts (task_id, n, cluster_id, pod, claim_id, status, leased_at)
  select id, attempt, cluster_id, pod, claim_id, 'leased', ${storeNow} from claimed
)
select ${columnsOf(tasks, 't')}, s.provider_session_id from claimed t left join sessions s on s.id = t.session_id
union all
select ${columnsOf(tasks, 't')}, s.provider_session_id from tasks t left join sessions s on s.id = t.session_id
where t.cluster_id = ${clusterId} and t.status in ${live} and t.claim_id = ${claimId}
order by id`
}
