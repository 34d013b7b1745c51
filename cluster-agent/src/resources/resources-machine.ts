// What this cluster should have beside running attempts, as a pure machine. It promises: after each `desired` every resource of a known
// kind is on its way to what that says, and what the set does not name is removed; one operation at a time per resource; a failure is tried
// again; every change is reported whole. It keeps nothing over a restart, nor over a lost connection, while which another agent may have been at
// work: what is there is listed by each kind first, and everything applied anew.

import { fullJitter } from '@rdev/shared/domain/backoff'
import type { DesiredResources, ObservedResource, ObservedResources, Resource } from '@rdev/shared/domain/resource'
import { resourceKey } from '@rdev/shared/domain/resource'
import type { Step, StepContext } from '@rdev/shared/domain/step'

interface Entry {
  readonly kind: string
  readonly name: string
  /** The desired resource; null: it should not exist. */
  readonly wanted: Resource | null
  readonly state: ObservedResource['state']
  readonly detail: string | null
  /** What the operation in flight brings about; undefined: none is in flight. */
  readonly doing: Resource | null | undefined
  /** Another agent may have changed it since that operation began: its end says nothing. */
  readonly doubted: boolean
  /** Failures in a row. */
  readonly tries: number
}

export interface ResourcesState {
  /** The kinds that this agent can apply. */
  readonly kinds: readonly string[]
  /** Null: the hub has not said anything since the connection was made, so nothing is applied and nothing is removed. */
  readonly version: number | null
  /** Kinds whose existing resources have been listed, or are being listed. */
  readonly listed: ReadonlySet<string>
  readonly entries: ReadonlyMap<string, Entry>
}

export type ResourcesInput =
  | { readonly type: 'desired'; readonly desired: DesiredResources }
  /** The connection to the hub. */
  | { readonly type: 'lost' }
  /** What of a kind is there, whoever made it. */
  | { readonly type: 'listed'; readonly kind: string; readonly names: readonly string[] }
  | { readonly type: 'list_failed'; readonly kind: string }
  /** The operation in flight for that key has ended; `error` undefined: it succeeded. */
  | { readonly type: 'operated'; readonly key: string; readonly error: string | undefined }
  | { readonly type: 'retry'; readonly key: string }
  | { readonly type: 'retry_list'; readonly kind: string }

export type ResourcesEffect =
  | { readonly type: 'list'; readonly kind: string }
  /** `version`: that of the desired set. */
  | { readonly type: 'apply'; readonly resource: Resource; readonly version: number }
  | { readonly type: 'remove'; readonly kind: string; readonly name: string; readonly version: number }
  /** Step `input` after that time. */
  | { readonly type: 'timer'; readonly inMs: number; readonly input: Extract<ResourcesInput, { type: 'retry' | 'retry_list' }> }
  | { readonly type: 'report'; readonly observed: ObservedResources }

type ResourcesStep = Step<ResourcesState, ResourcesEffect>

/** A failed operation is tried again after this, plus full jitter below 2, 4 … 60 s. */
const minRetryMs = 1_000
const maxDetail = 2_000

const newEntry = (kind: string, name: string, wanted: Resource | null): Entry => ({
  kind,
  name,
  wanted,
  state: 'pending',
  detail: null,
  doing: undefined,
  doubted: false,
  tries: 0,
})

export const newResources = (kinds: readonly string[]): ResourcesState => ({ kinds, version: null, listed: new Set(), entries: new Map() })

export function stepResources(state: ResourcesState, input: ResourcesInput, { random }: StepContext): ResourcesStep {
  const nothing: ResourcesStep = { state, effects: [] }
  // A list that was asked for on an earlier connection says nothing of this one.
  const isOfList = input.type === 'listed' || input.type === 'list_failed' || input.type === 'retry_list'
  if (isOfList && state.version === null) return nothing
  switch (input.type) {
    case 'desired':
      return desired(state, input.desired)
    case 'lost':
      return lost(state)
    case 'listed':
      return listed(state, input.kind, input.names)
    case 'list_failed':
      return { state, effects: [retryIn(0, random, { type: 'retry_list', kind: input.kind })] }
    case 'retry_list':
      return { state, effects: [{ type: 'list', kind: input.kind }] }
    case 'operated':
      return operated(state, input.key, input.error, random)
    case 'retry': {
      const entry = state.entries.get(input.key)
      if (entry === undefined || entry.doing !== undefined || entry.state !== 'failed') return nothing
      return reported(...changed(state, [entry]))
    }
  }
}

function desired(state: ResourcesState, { version, resources }: DesiredResources): ResourcesStep {
  const wanted = new Map(resources.map((resource) => [resourceKey(resource), resource]))
  const entries = new Map<string, Entry>()
  const toChange: Entry[] = []
  for (const [key, resource] of wanted) {
    const { kind, name } = resource
    const before = state.entries.get(key)
    if (!state.kinds.includes(kind)) {
      entries.set(key, { ...newEntry(kind, name, resource), state: 'unsupported', detail: 'this agent does not know the kind' })
    } else if (before !== undefined && isSame(before.wanted, resource)) {
      // A failed one keeps its retry time: a hub that repeats the same set must not cause more tries.
      entries.set(key, { ...before, wanted: resource })
    } else {
      const inFlight = before && { doing: before.doing, doubted: before.doubted }
      const entry: Entry = { ...newEntry(kind, name, resource), ...inFlight }
      entries.set(key, entry)
      toChange.push(entry)
    }
  }
  for (const [key, before] of state.entries) {
    if (wanted.has(key) || before.state === 'unsupported') continue
    const entry: Entry = before.wanted === null ? before : { ...before, wanted: null, state: 'pending', detail: null, tries: 0 }
    entries.set(key, entry)
    if (before.wanted !== null) toChange.push(entry)
  }
  const toList = state.kinds.filter((kind) => !state.listed.has(kind))
  const [next, effects] = changed({ ...state, version, entries, listed: new Set(state.kinds) }, toChange)
  const lists = toList.map((kind): ResourcesEffect => ({ type: 'list', kind }))
  return reported(next, [...lists, ...effects])
}

/** Only what is in flight is remembered: one operation at a time. */
function lost(state: ResourcesState): ResourcesStep {
  const inFlight = [...state.entries].filter(([, { doing }]) => doing !== undefined)
  const entries = new Map(inFlight.map(([key, entry]) => [key, { ...entry, doubted: true }]))
  return { state: { ...state, version: null, listed: new Set(), entries }, effects: [] }
}

/** What nobody wants and this process did not make goes too. */
function listed(state: ResourcesState, kind: string, names: readonly string[]): ResourcesStep {
  const strays = names.filter((name) => !state.entries.has(resourceKey({ kind, name }))).map((name) => newEntry(kind, name, null))
  if (strays.length === 0) return { state, effects: [] }
  return reported(...changed(state, strays))
}

function operated(state: ResourcesState, key: string, error: string | undefined, random: number): ResourcesStep {
  const entry = state.entries.get(key)
  if (entry === undefined || entry.doing === undefined) return { state, effects: [] }
  const entries = new Map(state.entries)
  if (state.version === null) {
    entries.delete(key)
    return { state: { ...state, entries }, effects: [] }
  }
  const idle: Entry = { ...entry, doing: undefined, doubted: false }
  // What is wanted changed meanwhile: its end says nothing of that.
  if (entry.doubted || !isSame(entry.doing, entry.wanted)) return reported(...changed(state, [idle]))
  if (error !== undefined) {
    entries.set(key, { ...idle, state: 'failed', detail: error.slice(0, maxDetail), tries: entry.tries + 1 })
    return reported({ ...state, entries }, [retryIn(entry.tries, random, { type: 'retry', key })])
  }
  if (entry.wanted === null) entries.delete(key)
  else entries.set(key, { ...idle, state: 'ready', detail: null, tries: 0 })
  return reported({ ...state, entries }, [])
}

/** Begins the operation of each entry that has none in flight. The others begin theirs when the one in flight has ended. */
function changed(state: ResourcesState, list: readonly Entry[]): [ResourcesState, ResourcesEffect[]] {
  const entries = new Map(state.entries)
  const version = state.version ?? 0
  const effects: ResourcesEffect[] = []
  for (const entry of list) {
    const key = resourceKey(entry)
    if (entry.doing !== undefined) {
      entries.set(key, entry)
      continue
    }
    entries.set(key, { ...entry, state: 'pending', doing: entry.wanted })
    const { kind, name, wanted } = entry
    effects.push(wanted === null ? { type: 'remove', kind, name, version } : { type: 'apply', resource: wanted, version })
  }
  return [{ ...state, entries }, effects]
}

function reported(state: ResourcesState, effects: readonly ResourcesEffect[]): ResourcesStep {
  const resources = [...state.entries.values()].map(({ kind, name, state: how, detail }) => ({ kind, name, state: how, detail }))
  return { state, effects: [...effects, { type: 'report', observed: { version: state.version ?? 0, resources } }] }
}

const retryIn = (tries: number, random: number, input: Extract<ResourcesEffect, { type: 'timer' }>['input']): ResourcesEffect => ({
  type: 'timer',
  inMs: minRetryMs + fullJitter(tries, random, 2_000, 60_000),
  input,
})

const isSame = (a: Resource | null, b: Resource | null): boolean =>
  a === b || (a !== null && b !== null && JSON.stringify(a.spec) === JSON.stringify(b.spec))
