// Which task gets which slot: the steps of the Postgres store's claim statement, under the same names; one contract suite tests both. Lanes
// are ordered by start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996). docs/queue.md has a table of the steps.
import type { Project } from '@rdev/shared/domain/project'
import type { Session } from '@rdev/shared/domain/session'
import type { Task } from '@rdev/shared/domain/task'
import type { Slot } from '../../ports/dispatch-store.ts'

export interface Placement {
  readonly task: Task
  readonly pod: string
  readonly podUid: string
}

/** The queue's order inside a lane: priority, when it was due, arrival. */
export const queueOrder = (a: Task, b: Task) => a.spec.priority - b.spec.priority || a.run_after - b.run_after || (a.id < b.id ? -1 : 1)

/** What a task holds while it is live, each at most one live task at a time: its project's workspace, and its session. */
export const holdsOf = ({ spec }: Task): string[] => [
  ...(spec.workspace === null ? [] : [`workspace ${spec.project_id} ${spec.workspace}`]),
  ...(spec.session_id === null ? [] : [`session ${spec.session_id}`]),
]

/** A slot's class: the project whose pods these are, or the pool. */
const pool = 'pool'
const classOf = (slot: Slot): string => (slot.project_id === null ? pool : `project ${slot.project_id}`)

/** Virtual times: a lane's is the finish tag of its last task, the pool's the start tag of the task that was served last. */
export interface VirtualTimes {
  readonly lanes: Map<string, number>
  readonly pools: Map<string, number>
}

interface Offer {
  readonly task: Task
  readonly lane: Project
  /** The pod of its conversation: the task can run only there. Null: any pod of its class. */
  readonly boundPod: string | null
  readonly slotClass: string
  readonly startTag: number
}

/**
 * `due` are the queued tasks of one cluster whose time has come, `live` all leased and running ones. Each lane offers tasks that fit some
 * slot, in its order, up to its room (`max_running`). Then slots go to offers by start tag, first the slots of pods that tasks are bound to.
 * Moves the virtual times. If any task fits, at least one slot is given; the next claim gives slots that are left over.
 */
export function place(
  clusterId: string,
  due: readonly Task[],
  live: readonly Task[],
  slots: readonly Slot[],
  facts: { readonly projectOf: (task: Task) => Project; readonly sessionOf: (task: Task) => Session | undefined },
  times: VirtualTimes,
): Placement[] {
  const podSlots = countBy(slots, (slot) => slot.pod)
  const classSlots = countBy(slots, classOf)
  const running = countBy(live, (task) => task.spec.project_id)
  const nextTag = (lane: Project) => Math.max(times.lanes.get(lane.id) ?? 0, times.pools.get(clusterId) ?? 0)

  const fit = whatFits(due, live, slots, facts)
  const offered = tagged(fit.filter(withRoom(running)), nextTag)
  const fitsPod = firstOf(offered, podSlots, ({ boundPod }) => boundPod)
  const retagged = tagged(fitsPod, nextTag)
  const chosen = firstOf(retagged, classSlots, ({ slotClass }) => slotClass)

  // Only slots of the pool move virtual time: slots in a project's own pods are not shared.
  for (const { lane, slotClass, startTag } of chosen) {
    if (slotClass !== pool) continue
    times.lanes.set(lane.id, Math.max(times.lanes.get(lane.id) ?? 0, startTag + 1 / lane.weight))
    times.pools.set(clusterId, Math.max(times.pools.get(clusterId) ?? 0, startTag))
  }
  return placement(chosen, slots)
}

/** Tasks that fit a slot, in the queue's order. The first task of a workspace or session blocks those behind it, even if it fits no slot. */
function whatFits(
  due: readonly Task[],
  live: readonly Task[],
  slots: readonly Slot[],
  { projectOf, sessionOf }: Parameters<typeof place>[4],
): Omit<Offer, 'startTag'>[] {
  const classes = new Set(slots.map(classOf))
  const classOfPod = new Map(slots.map((slot) => [slot.pod, classOf(slot)]))
  const held = new Set(live.flatMap(holdsOf))
  return [...due].sort(queueOrder).flatMap((task) => {
    const lane = projectOf(task)
    const holds = holdsOf(task)
    const waits = holds.some((one) => held.has(one))
    for (const one of holds) held.add(one)
    if (waits || lane.paused) return []
    const boundPod = sessionOf(task)?.pod ?? null
    const own = `project ${lane.id}`
    const slotClass = boundPod !== null ? classOfPod.get(boundPod) : task.spec.target === pool ? pool : own
    if (slotClass === undefined || (slotClass !== pool && slotClass !== own) || !classes.has(slotClass)) return []
    if (slotClass === pool && !lane.allow_pool) return []
    return [{ task, lane, boundPod, slotClass }]
  })
}

/** A filter that keeps of each lane as many as `max_running` allows beside its running tasks. */
function withRoom(running: Map<string, number>) {
  return ({ lane }: { readonly lane: Project }): boolean => {
    const count = running.get(lane.id) ?? 0
    if (count >= lane.max_running) return false
    running.set(lane.id, count + 1)
    return true
  }
}

/** Gives each offer its start tag: it follows the finish tag of the offer before it in its lane and class. */
function tagged(offers: readonly Omit<Offer, 'startTag'>[], nextTag: (lane: Project) => number): Offer[] {
  const ranks = new Map<string, number>()
  return offers.map((offer) => {
    const of = `${offer.lane.id} ${offer.slotClass}`
    const rank = ranks.get(of) ?? 0
    ranks.set(of, rank + 1)
    return { ...offer, startTag: nextTag(offer.lane) + rank / offer.lane.weight }
  })
}

const byTag = (a: Offer, b: Offer) => a.startTag - b.startTag || a.task.run_after - b.task.run_after || (a.task.id < b.task.id ? -1 : 1)

/** Keeps of each name as many offers as it has slots, lowest start tags first; all offers without a name. The order stays as it came. */
function firstOf(offers: readonly Offer[], slots: ReadonlyMap<string, number>, nameOf: (offer: Offer) => string | null): Offer[] {
  const left = new Map(slots)
  const taken = new Set<Offer>()
  for (const offer of [...offers].sort(byTag)) {
    const name = nameOf(offer)
    if (name !== null && (left.get(name) ?? 0) === 0) continue
    if (name !== null) left.set(name, left.get(name)! - 1)
    taken.add(offer)
  }
  return offers.filter((offer) => taken.has(offer))
}

/** Bound tasks go to their pod; the others go to the pod of their class with the most free slots, which spreads the load. */
function placement(chosen: readonly Offer[], slots: readonly Slot[]): Placement[] {
  const left = countBy(slots, (slot) => slot.pod)
  const uids = new Map(slots.map((slot) => [slot.pod, slot.pod_uid]))
  const placements: Placement[] = []
  const put = (task: Task, pod: string) => {
    left.set(pod, left.get(pod)! - 1)
    placements.push({ task, pod, podUid: uids.get(pod)! })
  }
  const inOrder = [...chosen].sort(byTag)
  for (const { task, boundPod } of inOrder) if (boundPod !== null) put(task, boundPod)
  for (const { task, boundPod, slotClass } of inOrder) {
    if (boundPod !== null) continue
    const pods = [...new Set(slots.filter((slot) => classOf(slot) === slotClass).map((slot) => slot.pod))]
    put(
      task,
      pods.reduce((best, next) => (left.get(next)! > left.get(best)! ? next : best)),
    )
  }
  return placements
}

function countBy<Item>(items: Iterable<Item>, nameOf: (item: Item) => string): Map<string, number> {
  const counts = new Map<string, number>()
  for (const item of items) counts.set(nameOf(item), (counts.get(nameOf(item)) ?? 0) + 1)
  return counts
}
