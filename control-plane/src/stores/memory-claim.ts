// Who gets which slot, in plain words; the claim statement of the Postgres store says the same in SQL, and one suite holds them together.
import type { Session } from '@rdev/shared/domain/session'
import type { Task } from '@rdev/shared/domain/task'
import type { Slot } from '../ports.ts'

export interface Placement {
  readonly task: Task
  readonly pod: string
}

const queueOrder = (a: Task, b: Task) => a.spec.priority - b.spec.priority || a.run_after - b.run_after || (a.id < b.id ? -1 : 1)

/** A slot's class: the project whose pods these are, or the pool. */
const classOf = (slot: Slot): string => (slot.project_id === null ? 'pool' : `project ${slot.project_id}`)

/**
 * `queued` are the tasks that are due now. A task whose session has a pod can only go there; others go to any slot of their class. So the
 * choice is made first, by order of the queue, and those that have no choice of pod are seated first.
 */
export function place(
  queued: readonly Task[],
  slots: readonly Slot[],
  facts: {
    readonly sessionOf: (task: Task) => Session | undefined
    readonly sessionBusy: (sessionId: string) => boolean
    readonly roomOf: (projectId: string) => number
  },
): Placement[] {
  const free = new Map<string, number>()
  const freeInPod = new Map<string, number>()
  for (const slot of slots) {
    free.set(classOf(slot), (free.get(classOf(slot)) ?? 0) + 1)
    freeInPod.set(slot.pod, (freeInPod.get(slot.pod) ?? 0) + 1)
  }
  const podClass = new Map(slots.map((slot) => [slot.pod, classOf(slot)]))
  const mayUse = (task: Task, slotClass: string) => slotClass === 'pool' || slotClass === `project ${task.spec.project_id}`

  const room = new Map<string, number>()
  const seenSessions = new Set<string>()
  const chosen: { task: Task; home: string | null; slotClass: string }[] = []
  for (const task of [...queued].sort(queueOrder)) {
    const sessionId = task.spec.session_id
    if (sessionId !== null) {
      // In a session the first in the queue goes first, even if it cannot go now.
      if (seenSessions.has(sessionId) || facts.sessionBusy(sessionId)) continue
      seenSessions.add(sessionId)
    }
    const home = facts.sessionOf(task)?.pod ?? null
    const slotClass = home !== null ? podClass.get(home) : task.spec.target === 'pool' ? 'pool' : `project ${task.spec.project_id}`
    if (slotClass === undefined || !mayUse(task, slotClass)) continue
    const left = room.get(task.spec.project_id) ?? facts.roomOf(task.spec.project_id)
    const classLeft = free.get(slotClass) ?? 0
    const podLeft = home === null ? 1 : (freeInPod.get(home) ?? 0)
    if (left <= 0 || classLeft <= 0 || podLeft <= 0) continue
    room.set(task.spec.project_id, left - 1)
    free.set(slotClass, classLeft - 1)
    if (home !== null) freeInPod.set(home, podLeft - 1)
    chosen.push({ task, home, slotClass })
  }

  const placements: Placement[] = []
  for (const { task, home } of chosen) if (home !== null) placements.push({ task, pod: home })
  for (const { task, home, slotClass } of chosen) {
    if (home !== null) continue
    // The emptiest pod of the class, so that load spreads.
    const pods = [...new Set(slots.filter((slot) => classOf(slot) === slotClass).map((slot) => slot.pod))]
    const left = (pod: string) =>
      slots.filter((slot) => slot.pod === pod).length - placements.filter((placement) => placement.pod === pod).length
    const pod = pods.reduce((best, next) => (left(next) > left(best) ? next : best))
    placements.push({ task, pod })
  }
  return placements
}
