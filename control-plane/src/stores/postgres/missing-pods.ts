// Queued tasks that are bound by their conversation to a missing pod. Only the heads of ordering keys are read, by the claim's own steps, so
// this costs no more than a claim. Tasks behind a head wait for it anyway.

import { maxEndedAtOnce, maxMissingPods } from '@rdev/shared/domain/limits'
import { podMissing } from '@rdev/shared/domain/task'
import { type SQL, sql } from 'drizzle-orm'
import { storeNow } from './database.ts'
import { endQueued } from './task-statements.ts'
import { laneHeads, keyHeads, queueIndex } from './heads.ts'

const maxPods = sql.raw(String(maxMissingPods))
const most = sql.raw(String(maxEndedAtOnce))
const among = (pods: readonly string[]) => sql`(select json_array_elements_text(${JSON.stringify(pods)}::json))`

const heads = (clusterId: string): SQL => sql`
with recursive ${laneHeads(sql`t.cluster_id = ${clusterId}`, sql`t.cluster_id = ${clusterId}`)},
${keyHeads(sql`select h.* from lane_head h join projects p on p.id = h.lane where not p.paused`)}`

export function missingPodsStatement(clusterId: string, pods: readonly string[]): SQL {
  return sql`${heads(clusterId)}
select distinct s.pod from key_head join sessions s on s.id = key_head.session_id
where key_head.run_after <= ${storeNow} and s.pod is not null and s.pod not in ${among(pods)}
order by s.pod limit ${maxPods}`
}

export function failMissingPodsStatement(clusterId: string, pods: readonly string[]): SQL {
  const chosen = sql`${heads(clusterId)},
stuck as materialized (
  select key_head.* from key_head join sessions s on s.id = key_head.session_id where key_head.run_after <= ${storeNow} and s.pod in ${among(pods)}
),
-- Also the tasks behind such a head that are bound to a missing pod.
found as materialized (
  select behind.id from stuck cross join lateral (
    select q.id from (
      select t.id, t.session_id from tasks t
      where t.cluster_id = ${clusterId} and t.status = 'queued' and t.lane = stuck.lane and t.turn = stuck.turn
        and t.priority = stuck.priority and t.run_after <= ${storeNow}
      order by ${queueIndex}
      limit ${most}
    ) q join sessions s on s.id = q.session_id
    where s.pod in ${among(pods)}
  ) behind
  limit ${most}
),
held as materialized (
  select t.id from tasks t where t.id in (select id from found) and t.status = 'queued' order by t.id for update skip locked
)
`
  return endQueued(chosen, podMissing)
}
