// The agent's side of the control socket to its cluster's hub, without the socket. It is level-triggered: `hello` tells everything that
// runs, `welcome` and `assign` tell what should run. Nothing is queued while the hub is away, because the next hello tells it all again.

import type { Assignment, AttemptPresence, AttemptRef, RejectReason } from '@rdev/shared/domain/attempt'
import type { Pod } from '@rdev/shared/domain/pod'
import type { DesiredResources, ObservedResources } from '@rdev/shared/domain/resource'
import type { Step, StepContext } from '@rdev/shared/domain/step'
import type { HubDown, HubUp } from '@rdev/shared/wire/hub-frames'
import { protocolVersion } from '@rdev/shared/wire/version'
import { inParts, maxPartChars } from './frame-parts.ts'

/** The shortest time between two hellos that the agent wants by itself. A token that is refused again and again must not become a loop. */
export const helloEveryMs = 2_000
/** While attempts live, their whole list is sent this often, which repairs what a lost frame left wrong. */
export const heartbeatEveryMs = 60_000

export interface LinkState {
  /** `gathering`: the socket is open, and the pods are being asked for their attempts. `hello_sent`: the welcome is awaited. */
  readonly phase: 'down' | 'gathering' | 'hello_sent' | 'welcomed'
  /** Counts gatherings, so that the answer of an earlier one is not taken for the current one's. */
  readonly gathering: number
  /** Something changed meanwhile: send another hello after this one. */
  readonly again: boolean
  readonly helloAt: number | null
  readonly held: readonly HubUp[]
  readonly draining: boolean
  readonly epoch: number
  /** Characters of a part of a frame. The simulator has smaller parts than ships. */
  readonly partChars: number
}

export type LinkInput =
  | { readonly type: 'opened' }
  | { readonly type: 'lost' }
  | { readonly type: 'frame'; readonly frame: HubDown }
  | {
      readonly type: 'gathered'
      readonly gathering: number
      readonly pods: readonly Pod[]
      readonly attempts: readonly AttemptPresence[]
      readonly about: { readonly version: string; readonly instance: string; readonly wallMs: number }
    }
  /** `unlisted`: there is a pod whose attempts the last hello did not list. */
  | { readonly type: 'pods'; readonly pods: readonly Pod[]; readonly unlisted: boolean }
  | { readonly type: 'accepted'; readonly ref: AttemptRef; readonly startedAt: number }
  | { readonly type: 'rejected'; readonly ref: AttemptRef; readonly reason: RejectReason; readonly detail: string | undefined }
  | { readonly type: 'finished'; readonly ref: AttemptRef }
  | { readonly type: 'heartbeat'; readonly attempts: readonly AttemptRef[]; readonly wallMs: number }
  | { readonly type: 'observed'; readonly observed: ObservedResources }
  | { readonly type: 'hello' }
  | { readonly type: 'hello_due' }
  | { readonly type: 'drain' }

export type LinkEffect =
  | { readonly type: 'send'; readonly frame: HubUp }
  | { readonly type: 'gather'; readonly gathering: number }
  | { readonly type: 'hello_timer'; readonly inMs: number }
  | { readonly type: 'confirmed' }
  | { readonly type: 'welcome'; readonly epoch: number; readonly adopt: readonly Assignment[]; readonly stop: readonly AttemptRef[] }
  | { readonly type: 'assign'; readonly tasks: readonly Assignment[] }
  | { readonly type: 'desired'; readonly desired: DesiredResources }

type LinkStep = Step<LinkState, LinkEffect>

export const newLink: LinkState = {
  phase: 'down',
  gathering: 0,
  again: false,
  helloAt: null,
  held: [],
  draining: false,
  epoch: 0,
  partChars: maxPartChars,
}

const maxDetail = 2000
const nothing = (state: LinkState): LinkStep => ({ state, effects: [] })

export function stepLink(state: LinkState, input: LinkInput, { now }: StepContext): LinkStep {
  switch (input.type) {
    case 'opened':
      return gather({ ...state, helloAt: null, held: [] })
    case 'lost':
      return nothing({ ...state, phase: 'down', again: false, held: [] })
    case 'frame':
      return frame(state, input.frame)
    case 'gathered':
      return gathered(state, input, now)
    case 'hello':
      return askAgain(state, now)
    case 'hello_due':
      return state.phase === 'welcomed' && state.again ? gather(state) : nothing(state)
    case 'pods':
      if (input.unlisted) return askAgain(state, now)
      return send(state, { type: 'pods', pods: [...input.pods] })
    case 'accepted':
      return send(state, { type: 'accepted', attempts: [{ ...input.ref, started_at: input.startedAt }] })
    case 'rejected': {
      const detail = input.detail === undefined ? {} : { detail: input.detail.slice(0, maxDetail) }
      return send(state, { type: 'rejected', attempts: [{ ...input.ref, reason: input.reason, ...detail }] })
    }
    case 'finished':
      return send(state, { type: 'finished', attempts: [input.ref] })
    case 'observed':
      return send(state, { type: 'observed', version: input.observed.version, resources: [...input.observed.resources] })
    case 'heartbeat':
      return state.phase === 'welcomed'
        ? send(state, { type: 'heartbeat', agent_time: input.wallMs, attempts: [...input.attempts] })
        : nothing(state)
    case 'drain':
      return state.draining ? nothing(state) : send({ ...state, draining: true }, { type: 'drain' })
  }
}

/** While the pods are asked, frames are held back and follow the hello: the pods' answers may be older than what the frames tell. */
function send(state: LinkState, frame: HubUp): LinkStep {
  if (state.phase === 'down') return nothing(state)
  if (state.phase === 'gathering') return nothing({ ...state, held: [...state.held, frame] })
  return { state, effects: sends(state, [frame]) }
}

const sends = ({ partChars }: LinkState, frames: readonly HubUp[]): LinkEffect[] =>
  frames.flatMap((frame) => inParts(frame, partChars)).map((frame) => ({ type: 'send', frame }))

function gather(state: LinkState): LinkStep {
  const gathering = state.gathering + 1
  return { state: { ...state, phase: 'gathering', gathering, again: false }, effects: [{ type: 'gather', gathering }] }
}

function askAgain(state: LinkState, now: number): LinkStep {
  if (state.phase === 'down') return nothing(state)
  if (state.phase !== 'welcomed') return nothing({ ...state, again: true })
  const waitMs = (state.helloAt ?? 0) + helloEveryMs - now
  if (state.helloAt === null || waitMs <= 0) return gather(state)
  return state.again ? nothing(state) : { state: { ...state, again: true }, effects: [{ type: 'hello_timer', inMs: waitMs }] }
}

function gathered(state: LinkState, input: Extract<LinkInput, { type: 'gathered' }>, now: number): LinkStep {
  if (state.phase !== 'gathering' || input.gathering !== state.gathering) return nothing(state)
  const hello: HubUp = {
    type: 'hello',
    protocol: protocolVersion,
    agent_version: input.about.version,
    instance: input.about.instance,
    agent_time: input.about.wallMs,
    pods: [...input.pods],
    attempts: [...input.attempts],
  }
  const frames: HubUp[] = [hello, ...state.held]
  if (state.draining && !state.held.some((frame) => frame.type === 'drain')) frames.push({ type: 'drain' })
  return {
    state: { ...state, phase: 'hello_sent', helloAt: now, held: [] },
    effects: sends(state, frames),
  }
}

function frame(state: LinkState, frame: HubDown): LinkStep {
  if (state.phase === 'down') return nothing(state)
  switch (frame.type) {
    case 'welcome': {
      const effects: LinkEffect[] = [{ type: 'confirmed' }, { type: 'welcome', epoch: frame.epoch, adopt: frame.adopt, stop: frame.stop }]
      // While the pods are asked, a welcome can only answer an earlier hello: the gathering goes on.
      const phase = state.phase === 'gathering' ? 'gathering' : 'welcomed'
      if (phase === 'welcomed' && state.again) effects.push({ type: 'hello_timer', inMs: helloEveryMs })
      return { state: { ...state, phase, epoch: frame.epoch }, effects }
    }
    case 'assign':
      // Also while draining: an assignment may repeat one that runs, which must not be refused, and only the runner knows that.
      return { state, effects: [{ type: 'assign', tasks: frame.tasks }] }
    case 'sync':
      return state.phase === 'gathering' ? nothing(state) : gather(state)
    case 'desired':
      return { state, effects: [{ type: 'desired', desired: { version: frame.version, resources: frame.resources } }] }
    case 'alive':
      return nothing(state)
  }
}
