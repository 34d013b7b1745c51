// The hub's state while one step is computed: a writable copy, and the effects so far.

import { attemptName } from '@rdev/shared/domain/ids'
import type { Assignment, AttemptRef } from '@rdev/shared/domain/attempt'
import type { Failure } from '@rdev/shared/domain/failure'
import type { Pod } from '@rdev/shared/domain/pod'
import { isProjectId } from '@rdev/shared/domain/project'
import { attemptSpecOf } from '@rdev/shared/domain/task'
import type { TaskOutcome } from '@rdev/shared/domain/task'
import { inLists } from '@rdev/shared/wire/lists'
import {
  missingPodMs,
  maxAssignChars,
  refusedAgainMs,
  type HubEffect,
  type HubState,
  type HubStep,
  type Live,
  type PendingWrite,
  type Write,
} from './state.ts'

type Writable<T> = { -readonly [Key in keyof T]: T[Key] }
export interface Draft extends Omit<Writable<HubState>, 'live' | 'writes'> {
  live: Map<string, Live>
  writes: Map<number, PendingWrite>
  effects: HubEffect[]
}

export const open = (state: HubState): Draft => ({ ...state, live: new Map(state.live), writes: new Map(state.writes), effects: [] })

export function done({ effects, ...state }: Draft): HubStep {
  return { state, effects }
}

export const nameOf = (ref: AttemptRef): string => attemptName(ref.task_id, ref.attempt)
export const refOf = ({ task }: Pick<Live, 'task'>): AttemptRef => ({ task_id: task.id, attempt: task.attempt })
export const podOf = (d: Draft, name: string | null): Pod | undefined => d.pods.find((pod) => pod.name === name)

/**
 * Takes over the agent's inventory of pods, but for pods of a project whose id is none: they serve nobody, and their words are not shown.
 * Records in `wentAt` which pods just went.
 */
export function knowPods(d: Draft, told: readonly Pod[], now: number): void {
  const pods = told.filter(({ project_id }) => project_id === null || isProjectId(project_id))
  const here = new Set(pods.map(({ name }) => name))
  // A pod that went missingPodMs ago needs no entry: without one isGone takes it for gone as long as the agent has been welcomed.
  const went = [...d.wentAt, ...d.pods.map(({ name }) => [name, now] as const)]
  d.wentAt = new Map(went.filter(([name, at]) => !here.has(name) && now - at < missingPodMs))
  d.pods = pods
}

/** Unique across all lives of the object (`boot` is random), because repeating a claim by its id returns what that claim leased. */
export const claimId = (d: Draft): string => `${d.boot}.${++d.counter}`

export function write(d: Draft, what: Write): void {
  const id = ++d.counter
  d.writes.set(id, { write: what, busy: true })
  d.effects.push({ type: 'write', id, write: what })
}

/**
 * Repeats failed reads and writes after one to five seconds; the random part keeps many hubs from coming back at once. What was refused would
 * be refused again, so it waits much longer.
 */
export function retryLater(d: Draft, why: Failure, random: number, now: number): void {
  const at = why === 'away' ? now + 1_000 + Math.floor(random * 4_000) : now + refusedAgainMs
  d.retryAt = Math.min(d.retryAt ?? at, at)
}

export function startLoad(d: Draft): void {
  if (d.loading !== null) {
    d.loadWanted = true
    return
  }
  d.loadWanted = false
  d.loading = ++d.counter
  d.durable = { ...d.durable, generation: d.durable.generation + 1 }
  d.effects.push({ type: 'load', generation: d.durable.generation })
}

/** Drops an attempt from memory. An answer of a claim that is still on its way must not bring it back, so the claim remembers it. */
export function forget(d: Draft, ref: AttemptRef): void {
  const name = nameOf(ref)
  d.live.delete(name)
  if (d.claim !== null) d.claim = { ...d.claim, over: [...d.claim.over, name] }
}

/** Ends the attempt with this outcome, unless its log holds a result already. */
export function endAttempt(d: Draft, entry: Live, end: TaskOutcome): void {
  d.live.set(nameOf(refOf(entry)), { ...entry, phase: 'leaving' })
  write(d, { kind: 'end', task: entry.task, outcome: end })
}

export const assignmentOf = ({ task, uid, provider_session_id, token }: Live): Assignment => ({
  ...attemptSpecOf(task.spec),
  task_id: task.id,
  attempt: task.attempt,
  pod: task.pod ?? '',
  pod_uid: uid,
  provider_session_id,
  token,
})

/** Assignments in one list per frame; at least one list, which may be empty. */
export const inParts = (entries: readonly Live[]): Assignment[][] => inLists(entries.map(assignmentOf), maxAssignChars)

export function assign(d: Draft, entries: readonly Live[]): void {
  const connection = d.connection?.id
  if (connection === undefined || entries.length === 0) return
  for (const tasks of inParts(entries)) d.effects.push({ type: 'send', connection, frame: { type: 'assign', tasks } })
}

/** Asks the agent for a new `hello`. */
export function askHello(d: Draft): void {
  if (d.connection !== null) d.effects.push({ type: 'send', connection: d.connection.id, frame: { type: 'sync' } })
}
