// Who gets which place, in plain words; the claim statement of the Postgres store says the same in SQL, and one suite holds them together.
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

/** What a task holds while it is live: at most one of its project, and of its session, may have it. */
export const holdsOf = ({ spec }: Task): string[] => [
  ...(spec.workspace === null ? [] : [`workspace ${spec.project_id} ${spec.workspace}`]),
  ...(spec.session_id === null ? [] : [`session ${spec.session_id}`]),
]

/** A place's class: the project whose pods these are, or the pool. */
const classOf = (slot: Slot): string => (slot.project_id === null ? 'pool' : `project ${slot.project_id}`)

/** Virtual time, of a lane and of its pool: a lane's runs by 1/weight for each place of the pool that it gets. */
export interface VirtualTimes {
  readonly lanes: Map<string, number>
  readonly pools: Map<string, number>
}

interface Candidate {
  readonly task: Task
  readonly project: Project
  /** The pod of its conversation: it goes there or nowhere. */
  readonly home: string | null
  readonly placeClass: string
  tag: number
}

/**
 * `due` are the queued tasks of one cluster whose time has come, `live` all that are leased or running. Each lane offers what fits some
 * place, in its order, as far as it has room; then places go to the offers by their tag. Those that may go to one pod only are seated
 * first. Moves the virtual times. With something that fits, at least one place is given; what is left over, the next claim gives.
 */
export function place(
  clusterId: string,
  due: readonly Task[],
  live: readonly Task[],
  slots: readonly Slot[],
  facts: { readonly projectOf: (task: Task) => Project; readonly sessionOf: (task: Task) => Session | undefined },
  times: VirtualTimes,
): Placement[] {
  const freeInPod = countBy(slots, (slot) => slot.pod)
  const freeInClass = countBy(slots, classOf)
  const podClass = new Map(slots.map((slot) => [slot.pod, classOf(slot)]))

  const poolTime = times.pools.get(clusterId) ?? 0
  const baseOf = (project: Project) => Math.max(times.lanes.get(project.id) ?? 0, poolTime)
  // A task of a lane that has been offered n places of a class stands behind those n.
  const setTags = (all: readonly Candidate[]) => {
    const rank = new Map<string, number>()
    for (const candidate of all) {
      const of = `${candidate.project.id} ${candidate.placeClass}`
      candidate.tag = baseOf(candidate.project) + (rank.get(of) ?? 0) / candidate.project.weight
      rank.set(of, (rank.get(of) ?? 0) + 1)
    }
  }
  const byTag = (a: Candidate, b: Candidate) => a.tag - b.tag || a.task.run_after - b.task.run_after || (a.task.id < b.task.id ? -1 : 1)

  // Whoever is first in line for a workspace or session keeps the others behind, even if it cannot go itself.
  const held = new Set(live.flatMap(holdsOf))
  const running = countBy(live, (task) => task.spec.project_id)
  let offers: Candidate[] = []
  for (const task of [...due].sort(queueOrder)) {
    const project = facts.projectOf(task)
    const holds = holdsOf(task)
    const waits = holds.some((one) => held.has(one))
    for (const one of holds) held.add(one)
    if (waits || project.paused) continue
    const home = facts.sessionOf(task)?.pod ?? null
    const own = `project ${project.id}`
    const placeClass = home !== null ? podClass.get(home) : task.spec.target === 'pool' ? 'pool' : own
    if (placeClass === undefined || (placeClass !== 'pool' && placeClass !== own) || !freeInClass.has(placeClass)) continue
    if ((running.get(project.id) ?? 0) >= project.max_running) continue
    running.set(project.id, (running.get(project.id) ?? 0) + 1)
    offers.push({ task, project, home, placeClass, tag: 0 })
  }

  const takeWhileFree = (free: ReadonlyMap<string, number>, of: (candidate: Candidate) => string | null) => {
    const left = new Map(free)
    const taken = new Set<Candidate>()
    for (const offer of [...offers].sort(byTag)) {
      const name = of(offer)
      if (name !== null && (left.get(name) ?? 0) === 0) continue
      if (name !== null) left.set(name, left.get(name)! - 1)
      taken.add(offer)
    }
    offers = offers.filter((offer) => taken.has(offer))
  }
  setTags(offers)
  takeWhileFree(freeInPod, (offer) => offer.home)
  setTags(offers)
  takeWhileFree(freeInClass, (offer) => offer.placeClass)

  for (const { project, placeClass, tag } of offers) {
    if (placeClass !== 'pool') continue
    times.lanes.set(project.id, Math.max(times.lanes.get(project.id) ?? 0, tag + 1 / project.weight))
    times.pools.set(clusterId, Math.max(times.pools.get(clusterId) ?? 0, tag))
  }
  return seat(offers.sort(byTag), slots)
}

/** Who has a home goes there; the others to the emptiest pod of their class, so that load spreads. */
function seat(chosen: readonly Candidate[], slots: readonly Slot[]): Placement[] {
  const left = countBy(slots, (slot) => slot.pod)
  const uids = new Map(slots.map((slot) => [slot.pod, slot.pod_uid]))
  const placements: Placement[] = []
  const put = (task: Task, pod: string) => {
    left.set(pod, left.get(pod)! - 1)
    placements.push({ task, pod, podUid: uids.get(pod)! })
  }
  for (const { task, home } of chosen) if (home !== null) put(task, home)
  for (const { task, home, placeClass } of chosen) {
    if (home !== null) continue
    const pods = [...new Set(slots.filter((slot) => classOf(slot) === placeClass).map((slot) => slot.pod))]
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
