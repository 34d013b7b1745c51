// Decides which assignments are begun, repeated or refused, which attempts of an earlier agent are removed, and which pods are told as
// ready. It promises: an attempt has one run; only an attempt that was never begun here is refused; a pod whose attempts are not known is
// told in a way that the hub cannot take for their end. It ends nothing because the hub is away.

import type { Assignment, AttemptPresence, AttemptRef, PodAttempts, RejectReason } from '@rdev/shared/domain/attempt'
import type { AgentProvider } from '@rdev/shared/domain/code-agent'
import { attemptName } from '@rdev/shared/domain/ids'
import type { Pod } from '@rdev/shared/domain/pod'
import type { Step, StepContext } from '@rdev/shared/domain/step'

interface Run {
  readonly ref: AttemptRef
  readonly pod: Pod
}

export interface RunnerState {
  readonly pods: readonly Pod[]
  /** Pods whose attempts a gathering has listed, by `podKey`, and the providers found in them. */
  readonly listed: ReadonlyMap<string, readonly AgentProvider[]>
  /** Why the last gathering did not list a pod that it asked, by `podKey`. */
  readonly troubles: ReadonlyMap<string, string>
  /** The homes of pods, by `podKey`: an assignment for one pod must not start in a later pod of the same name. */
  readonly homes: ReadonlyMap<string, Home>
  readonly runs: ReadonlyMap<string, Run>
  /** Attempt directories of the last gathering, by the attempt's name; some of them have no run here. */
  readonly present: ReadonlyMap<string, AttemptPresence>
  /** What was refused stays refused: when its assignment is repeated, the hub may have given it back to the queue already. */
  readonly refused: ReadonlyMap<string, Refusal>
  readonly draining: boolean
}

interface Home {
  readonly name: string
  /** Another home that was found there since, and how many times in a row. */
  readonly other?: { readonly name: string; readonly times: number }
}
/** After so many gatherings, seconds apart, the pod itself has a new home. Before that, a new pod that the inventory does not know may have answered. */
const newHomeAfter = 5

interface Refusal {
  readonly reason: RejectReason
  readonly detail: string | undefined
}
/** The hub takes that for final, so the pod must refuse it too: another agent may have been sent it, could not ask, and would try it. */
const missing = ({ provider }: Assignment): Refusal => ({ reason: 'binary_missing', detail: `no ${provider ?? 'code agent'} in the pod` })
/** There was no room to write a name: nothing is known of it. */
const unnamed = '-'

/** Refusals that the pod itself gave: they hold for every agent. */
const saidByPod: ReadonlySet<RejectReason> = new Set(['start_failed', 'workspace_busy', 'floor'])
/**
 * How many attempts a pod may tell beyond its slots: leftovers of a time without an agent. A task can make directories, and one frame tells the
 * attempts of all pods, so a pod with more must not make that frame too large for all others.
 */
export const maxLeftovers = 200

/** Only the latest are kept: an assignment and its repetition are seconds apart. */
const maxRefused = 1_000

/** What one pod answered to a gathering; `found` undefined: it did not answer. */
export interface PodList {
  readonly pod: Pod
  readonly found: PodAttempts | undefined
}

export type RunnerInput =
  /** The whole inventory. */
  | { readonly type: 'pods'; readonly pods: readonly Pod[] }
  /** `refused`: names of started runs whose lines had been refused before any pod was asked. */
  | { readonly type: 'gathered'; readonly lists: readonly PodList[]; readonly refused: readonly string[] }
  | { readonly type: 'provider_found'; readonly pod: Pod; readonly provider: AgentProvider }
  /** `invalid`: why it cannot run in any pod; undefined if it can. */
  | { readonly type: 'assign'; readonly assignment: Assignment; readonly invalid: string | undefined }
  /** Whether the pod has the provider of an assignment. If the pod could not be asked, `has` is true: the start will show it. */
  | { readonly type: 'provider_asked'; readonly assignment: Assignment; readonly pod: Pod; readonly has: boolean }
  /** The pod was asked to refuse an assignment, for that reason or because it was refused here before. */
  | {
      readonly type: 'refused_in_pod'
      readonly assignment: Assignment
      readonly pod: Pod
      readonly there: boolean
      readonly because?: Refusal | undefined
    }
  | { readonly type: 'adopt'; readonly assignment: Assignment }
  | { readonly type: 'stop'; readonly ref: AttemptRef }
  /** A run was begun here, and its process will never start. */
  | { readonly type: 'refused'; readonly ref: AttemptRef; readonly reason: RejectReason; readonly detail: string | undefined }
  /** This agent has nothing left of a run. */
  | { readonly type: 'forgotten'; readonly name: string }
  /** The effect `clear` is done. */
  | { readonly type: 'cleared'; readonly ref: AttemptRef }
  /** From now on nothing new is started. */
  | { readonly type: 'drain' }

export type RunnerEffect =
  /** `home`: the only home in which its process may start; undefined if it was started already. */
  | {
      readonly type: 'begin'
      readonly assignment: Assignment
      readonly pod: Pod
      readonly home: string | undefined
      readonly adopted: boolean
    }
  /** The run exists: give it the fresh token and answer the hub again. */
  | { readonly type: 'again'; readonly name: string; readonly token: string }
  | { readonly type: 'discard'; readonly name: string }
  | { readonly type: 'pod_gone'; readonly name: string }
  /** The pod does not have the run's directory any more. */
  | { readonly type: 'missing'; readonly name: string }
  | { readonly type: 'reject'; readonly ref: AttemptRef; readonly reason: RejectReason; readonly detail: string | undefined }
  /** Ask the pod; then step `provider_asked`. */
  | { readonly type: 'ask_provider'; readonly assignment: Assignment; readonly pod: Pod; readonly provider: AgentProvider | null }
  /** Answer `refused_in_pod`, if the pod answers. */
  | { readonly type: 'refuse_in_pod'; readonly assignment: Assignment; readonly pod: Pod; readonly because?: Refusal }
  /** End its tree, remove its directory; then answer `cleared`. */
  | { readonly type: 'clear'; readonly ref: AttemptRef; readonly pod: string }
  | { readonly type: 'finished'; readonly ref: AttemptRef }
  /** These pods did not answer: send another hello after a while. */
  | { readonly type: 'gather_again'; readonly pods: readonly string[] }
  /** The pod tells more attempts than it can have: it gets no work until those that the hub does not know are removed. */
  | { readonly type: 'overfull'; readonly pod: string; readonly attempts: number }
  /** An attempt lives: touch the pods in use now and then, for the orphan TTL. */
  | { readonly type: 'touch' }

type RunnerStep = Step<RunnerState, RunnerEffect>

export const newRunner: RunnerState = {
  pods: [],
  listed: new Map(),
  troubles: new Map(),
  homes: new Map(),
  runs: new Map(),
  present: new Map(),
  refused: new Map(),
  draining: false,
}

/** Tells a pod from a later pod of the same name. */
export const podKey = (pod: Pod): string => `${pod.name}/${pod.uid}`
const nameOf = (ref: AttemptRef): string => attemptName(ref.task_id, ref.attempt)
const podNamed = (state: RunnerState, name: string): Pod | undefined => state.pods.find((pod) => pod.name === name)
/** The pod of an assignment; undefined if another pod has the name by now, since the assignment may have been on its way for long. */
function podMeant(state: RunnerState, { pod: name, pod_uid }: Assignment): Pod | undefined {
  const pod = podNamed(state, name)
  return pod_uid === null || pod?.uid === pod_uid ? pod : undefined
}
const nothing = (state: RunnerState): RunnerStep => ({ state, effects: [] })

/**
 * The inventory for the hub. A pod whose attempts are not known is told as not ready. If it were left out, the hub would take it for gone; if it
 * were told as ready, for empty. A pod that is not ready says why.
 */
export const inventoryFor = (state: RunnerState): readonly Pod[] =>
  state.pods.map((pod) => {
    const providers = state.listed.get(podKey(pod))
    const told = providers ? { ...pod, providers: [...providers] } : { ...pod, ready: false }
    return told.ready ? told : { ...told, detail: state.troubles.get(podKey(pod)) ?? (pod.ready ? notListed : notReady) }
  })
const notListed = 'its attempts have not been listed yet'
const notReady = 'its cluster tells it as not ready'

/** Why the attempts of a pod that was asked are not believed; undefined: they are, or the cluster has said that the pod is not ready. */
function troubleOf(list: PodList, home: Home | undefined): string | undefined {
  const { found, pod } = list
  if (overfull(list))
    return `it has ${found?.attempts.length} attempt directories, more than the ${attemptsAtMost(list)} that rdev can have made`
  if (home?.other !== undefined) return 'its home changed: another pod may have its name by now'
  return found === undefined && pod.ready ? 'it did not answer when its attempts were listed' : undefined
}

/** Whether there is a ready pod whose attempts no gathering has listed. */
export const hasUnlisted = (state: RunnerState): boolean => state.pods.some((pod) => pod.ready && !state.listed.has(podKey(pod)))

/** The names of pods with a live attempt. */
export const podsInUse = (state: RunnerState): readonly string[] => {
  const names = new Set([...state.runs.values()].map((run) => run.pod.name))
  for (const found of state.present.values()) if (found.state === 'running') names.add(found.pod)
  return [...names]
}

export function stepRunner(state: RunnerState, input: RunnerInput, _context: StepContext): RunnerStep {
  switch (input.type) {
    case 'pods':
      return pods(state, input.pods)
    case 'gathered':
      return gathered(state, input.lists, input.refused)
    case 'provider_found':
      return nothing(withProvider(state, input.pod, input.provider))
    case 'assign':
      return assign(state, input.assignment, input.invalid)
    case 'provider_asked':
      if (state.runs.has(nameOf(input.assignment))) return nothing(state)
      if (!state.homes.has(podKey(input.pod))) return reject(state, input.assignment, 'no_such_pod')
      if (input.has) return begin(state, input.assignment, input.pod, false)
      return {
        state,
        effects: [{ type: 'refuse_in_pod', assignment: input.assignment, pod: input.pod, because: missing(input.assignment) }],
      }
    case 'refused_in_pod':
      if (state.runs.has(nameOf(input.assignment))) return nothing(state)
      if (input.there) return begin(state, input.assignment, input.pod, true)
      return reject(
        state,
        input.assignment,
        input.because?.reason ?? 'start_failed',
        input.because ? input.because.detail : 'it was refused before',
      )
    case 'adopt': {
      const { assignment } = input
      if (state.runs.has(nameOf(assignment))) return again(state, assignment)
      const pod = podNamed(state, assignment.pod)
      return pod ? begin(state, assignment, pod, true) : nothing(state)
    }
    case 'stop':
      return stop(state, input.ref)
    case 'refused':
      return reject(state, input.ref, input.reason, input.detail)
    case 'forgotten':
      return nothing({ ...state, runs: without(state.runs, input.name), present: without(state.present, input.name) })
    case 'cleared':
      return { state, effects: [{ type: 'finished', ref: input.ref }] }
    case 'drain':
      return nothing({ ...state, draining: true })
  }
}

function without<Value>(map: ReadonlyMap<string, Value>, name: string): ReadonlyMap<string, Value> {
  if (!map.has(name)) return map
  const rest = new Map(map)
  rest.delete(name)
  return rest
}

function withProvider(state: RunnerState, pod: Pod, provider: AgentProvider): RunnerState {
  const known = state.listed.get(podKey(pod))
  if (!known || known.includes(provider)) return state
  return { ...state, listed: new Map(state.listed).set(podKey(pod), [...known, provider]) }
}

function pods(state: RunnerState, all: readonly Pod[]): RunnerStep {
  const keys = new Set(all.map(podKey))
  const names = new Set(all.map((pod) => pod.name))
  const listed = new Map([...state.listed].filter(([key]) => keys.has(key)))
  const troubles = new Map([...state.troubles].filter(([key]) => keys.has(key)))
  const homes = new Map([...state.homes].filter(([key]) => keys.has(key)))
  const present = new Map([...state.present].filter(([, found]) => names.has(found.pod)))
  // A run is not gone while a later pod has the name: its start may have reached that pod, or that pod may have the same disk.
  const gone = [...state.runs].filter(([, run]) => !names.has(run.pod.name))
  return {
    state: { ...state, pods: all, listed, troubles, homes, present },
    effects: gone.map(([name]): RunnerEffect => ({ type: 'pod_gone', name })),
  }
}

function gathered(state: RunnerState, lists: readonly PodList[], refused: readonly string[]): RunnerStep {
  const listed = new Map(state.listed)
  const silent: Pod[] = []
  const troubles = new Map(state.troubles)
  const homes = new Map(state.homes)
  const effects: RunnerEffect[] = []
  for (const list of lists) {
    const { pod, found } = list
    const before = homes.get(podKey(pod))
    const home = found === undefined ? before : homeAfter(before, found.home)
    if (home !== undefined) homes.set(podKey(pod), home)
    const trouble = troubleOf(list, home)
    if (trouble === undefined) troubles.delete(podKey(pod))
    else troubles.set(podKey(pod), trouble)
    if (overfull(list)) effects.push({ type: 'overfull', pod: pod.name, attempts: found?.attempts.length ?? 0 })
    if (found === undefined || home?.other !== undefined || overfull(list)) {
      silent.push(pod)
      listed.delete(podKey(pod))
      continue
    }
    if (!listed.has(podKey(pod))) listed.set(podKey(pod), pod.providers)
  }
  const attempts = attemptsOf({ listed, runs: state.runs }, lists)
  // For pods that did not answer, the earlier list is kept.
  const kept = [...state.present].filter(([, found]) => silent.some((pod) => pod.name === found.pod))
  const present = new Map([...kept, ...attempts.map((found) => [nameOf(found), found] as const)])
  if (!state.draining && silent.some((pod) => pod.ready)) effects.push({ type: 'gather_again', pods: silent.map((pod) => pod.name) })
  if (attempts.some((found) => found.state === 'running')) effects.push({ type: 'touch' })
  // The directory existed when the run started. If it is missing, another agent saw the attempt's end and removed it.
  const answered = new Set(lists.flatMap(({ pod }) => (listed.has(podKey(pod)) ? [pod.name] : [])))
  for (const name of refused) {
    const run = state.runs.get(name)
    if (run && answered.has(run.pod.name) && !present.has(name)) effects.push({ type: 'missing', name })
  }
  return { state: { ...state, listed, troubles, homes, present }, effects }
}

/** A new pod may answer to the name before the inventory tells of it. A home that differs is therefore believed only after some gatherings. */
function homeAfter(before: Home | undefined, name: string): Home {
  if (before === undefined || before.name === name || before.name === unnamed) return { name }
  if (name === unnamed) return { name: before.name }
  const times = before.other?.name === name ? before.other.times + 1 : 1
  return times >= newHomeAfter ? { name } : { name: before.name, other: { name, times } }
}

const attemptsAtMost = ({ pod }: PodList): number => pod.slots + maxLeftovers
const overfull = (list: PodList): boolean => (list.found?.attempts.length ?? 0) > attemptsAtMost(list)

/**
 * The attempts that a gathering found in the pods whose lists are believed. A pod with too many tells a part, those with a run first: the hub
 * answers which of them to stop, so each hello removes some.
 */
export const attemptsOf = ({ listed, runs }: Pick<RunnerState, 'listed' | 'runs'>, lists: readonly PodList[]): readonly AttemptPresence[] =>
  lists.flatMap((list) => {
    const attempts = list.found?.attempts ?? []
    if (!overfull(list)) return listed.has(podKey(list.pod)) ? attempts : []
    const known = attempts.filter((found) => runs.has(nameOf(found)))
    const others = attempts.filter((found) => !runs.has(nameOf(found)))
    return [...known, ...others].slice(0, attemptsAtMost(list))
  })

function refusal(state: RunnerState, assignment: Assignment, invalid: string | undefined): Refusal | undefined {
  const pod = podMeant(state, assignment)
  const known = pod !== undefined && state.homes.has(podKey(pod))
  // Its directory exists: this assignment repeats one that was begun.
  if (known && state.present.has(nameOf(assignment))) return undefined
  const before = state.refused.get(nameOf(assignment))
  if (before) return before
  if (state.draining) return { reason: 'draining', detail: undefined }
  if (!pod) return { reason: 'no_such_pod', detail: undefined }
  if (!pod.ready || !known) return { reason: 'pod_not_ready', detail: undefined }
  if (invalid) return { reason: 'invalid', detail: invalid }
  if (assignment.permission_mode === 'bypassPermissions' && !pod.allow_bypass_permissions) {
    return { reason: 'invalid', detail: 'the pod does not allow bypassPermissions' }
  }
  return undefined
}

function reject(state: RunnerState, { task_id, attempt }: AttemptRef, reason: RejectReason, detail?: string): RunnerStep {
  const refused = new Map(state.refused).set(attemptName(task_id, attempt), { reason, detail })
  if (refused.size > maxRefused) refused.delete(refused.keys().next().value!)
  return { state: { ...state, refused }, effects: [{ type: 'reject', ref: { task_id, attempt }, reason, detail }] }
}

const again = (state: RunnerState, assignment: Assignment): RunnerStep => ({
  state,
  effects: [{ type: 'again', name: nameOf(assignment), token: assignment.token }],
})

function assign(state: RunnerState, assignment: Assignment, invalid: string | undefined): RunnerStep {
  const name = nameOf(assignment)
  if (state.runs.has(name)) return again(state, assignment)
  const pod = podMeant(state, assignment)
  const refused = refusal(state, assignment, invalid)
  // The hub sends it again after a refusal: perhaps another agent had it too. The pod's own refusal holds for both agents.
  if (refused && state.refused.has(name) && !saidByPod.has(refused.reason) && pod?.ready && !state.draining)
    return { state, effects: [{ type: 'refuse_in_pod', assignment, pod }] }
  if (refused || !pod) return reject(state, assignment, refused?.reason ?? 'no_such_pod', refused?.detail)
  const { provider } = assignment
  if (assignment.kind !== 'agent' || (provider !== null && state.listed.get(podKey(pod))?.includes(provider))) {
    return begin(state, assignment, pod, false)
  }
  return { state, effects: [{ type: 'ask_provider', assignment, pod, provider }] }
}

function begin(state: RunnerState, assignment: Assignment, pod: Pod, adopted: boolean): RunnerStep {
  const { task_id, attempt } = assignment
  // The hub gives a number only when all lower attempts are over: a run of a lower one is not wanted any more.
  const older = [...state.runs].filter(([, { ref }]) => ref.task_id === task_id && ref.attempt < attempt)
  return {
    state: { ...state, runs: new Map(state.runs).set(nameOf(assignment), { ref: { task_id, attempt }, pod }) },
    effects: [
      ...older.map(([name]): RunnerEffect => ({ type: 'discard', name })),
      { type: 'begin', assignment, pod, home: adopted ? undefined : state.homes.get(podKey(pod))?.name, adopted },
      { type: 'touch' },
    ],
  }
}

function stop(state: RunnerState, ref: AttemptRef): RunnerStep {
  const name = nameOf(ref)
  if (state.runs.has(name)) return { state, effects: [{ type: 'discard', name }] }
  const found = state.present.get(name)
  if (!found) return nothing(state)
  return {
    state: { ...state, present: without(state.present, name) },
    effects: [{ type: 'clear', ref: { task_id: ref.task_id, attempt: ref.attempt }, pod: found.pod }],
  }
}
