import type { Task } from '@rdev/shared/domain/task'
import type { QueueLane, WaitReason } from '../../ports/task-store.ts'
import { holdsOf, queueOrder } from './claim.ts'
import type { MemoryRows } from './rows.ts'

/** A lane in the view of the queue; `queued` are its queued tasks, at least one. */
export function queueLane(rows: MemoryRows, projectId: string, queued: readonly Task[], now: number): QueueLane {
  const { cluster_id, max_running, weight, max_queued, paused, allow_pool } = rows.projects.get(projectId)!
  const live = [...rows.tasks.values()].filter(
    (task) => (task.status === 'leased' || task.status === 'running') && task.spec.project_id === projectId,
  )
  const depths = new Map<number, number>()
  for (const { spec } of queued) depths.set(spec.priority, (depths.get(spec.priority) ?? 0) + 1)
  const oldest = queued.reduce((first, task) => (task.id < first.id ? task : first))

  // The head is the first due task or, if none is due, the one that is due next.
  const due = queued.filter((task) => task.run_after <= now)
  const head = due.length > 0 ? due.toSorted(queueOrder)[0]! : queued.toSorted((a, b) => a.run_after - b.run_after || queueOrder(a, b))[0]!
  const session_pod = rows.sessions.get(head.spec.session_id ?? '')?.pod ?? null
  const holds = holdsOf(head)
  const holder = (kind: 'workspace' | 'session') => {
    const hold = holds.find((one) => one.startsWith(kind))
    return hold === undefined ? undefined : live.find((task) => holdsOf(task).includes(hold))
  }
  const inTheWay = (): { reason: WaitReason; by: string | null } => {
    if (due.length === 0) return { reason: 'later', by: null }
    if (paused) return { reason: 'paused', by: null }
    if (head.spec.target === 'pool' && session_pod === null && !allow_pool) return { reason: 'pool_not_allowed', by: null }
    if (live.length >= max_running) return { reason: 'max_running', by: null }
    for (const kind of ['workspace', 'session'] as const) {
      const by = holder(kind)
      if (by) return { reason: kind, by: by.id }
    }
    return { reason: 'due', by: null }
  }

  return {
    project_id: projectId,
    cluster_id,
    depth: queued.length,
    live: live.length,
    max_running,
    weight,
    max_queued,
    paused,
    allow_pool,
    oldest_at: oldest.created_at,
    priorities: [...depths].map(([priority, depth]) => ({ priority, depth })).sort((a, b) => a.priority - b.priority),
    head: { task_id: head.id, ...inTheWay(), target: head.spec.target, session_pod, run_after: head.run_after },
  }
}
