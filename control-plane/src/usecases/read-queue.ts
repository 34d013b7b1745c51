import { freeSlots } from '@rdev/shared/domain/pod'
import { maxQueueLanes } from '@rdev/shared/domain/queue'
import type { QueueReason } from '@rdev/shared/domain/queue'
import type { ProjectFilter } from '../ports/actor.ts'
import type { Deps } from '../ports/deps.ts'
import type { HubStatus } from '../ports/hubs.ts'
import type { QueueLane } from '../ports/task-store.ts'

export interface Queue {
  readonly lanes: readonly (QueueLane & { readonly reason: QueueReason })[]
  readonly more_lanes: boolean
  readonly clusters: readonly { readonly id: string; readonly connected: boolean }[]
}

/** What is queued, and why each lane's head waits. The rows give the reason; if they give none, the cluster's hub does. */
export async function readQueue(
  { tasks, hubs }: Pick<Deps, 'tasks' | 'hubs'>,
  filter: { projects: ProjectFilter; project_id?: string },
): Promise<Queue> {
  const found = await tasks.queue(filter, maxQueueLanes + 1)
  const lanes = found.slice(0, maxQueueLanes)
  const clusterIds = [...new Set(lanes.map(({ cluster_id }) => cluster_id))].sort()
  const statuses = new Map(await Promise.all(clusterIds.map(async (id) => [id, await hubs.status(id)] as const)))
  return {
    lanes: lanes.map((lane) => ({
      ...lane,
      reason: lane.head.reason === 'due' ? slotFor(lane, statuses.get(lane.cluster_id)!) : lane.head.reason,
    })),
    more_lanes: found.length > maxQueueLanes,
    clusters: clusterIds.map((id) => ({ id, connected: statuses.get(id)!.connected })),
  }
}

function slotFor({ project_id, head, allow_pool }: QueueLane, { connected, pods }: HubStatus): QueueReason {
  if (!connected) return 'agent_away'
  const fits = (pod: HubStatus['pods'][number]) => {
    if (head.session_pod !== null) return pod.name === head.session_pod
    return head.target === 'pool' ? pod.role === 'worker' : pod.project_id === project_id
  }
  if (!allow_pool && pods.some((pod) => pod.role === 'worker' && fits(pod))) return 'pool_not_allowed'
  const fit = pods.filter((pod) => pod.ready && fits(pod))
  if (fit.length === 0) return 'no_pod'
  return fit.some((pod) => freeSlots(pod, pod.running) > 0) ? 'due' : 'no_place'
}
