// What a cluster's hub knows, is told and does. All of it but `durable` is rebuilt from `hello` and Postgres.

import type { AttemptPresence } from '@rdev/shared/domain/attempt'
import type { Pod } from '@rdev/shared/domain/pod'
import type { DesiredResources, ObservedResources } from '@rdev/shared/domain/resource'
import type { Step } from '@rdev/shared/domain/step'
import type { Task, TaskOutcome } from '@rdev/shared/domain/task'
import type { HubDown, HubUp } from '@rdev/shared/wire/hub-frames'
import type { AttemptRef, LiveTask, Slot } from '../../ports/dispatch-store.ts'

/** A leased or running task with the token that opens its log. */
export interface Dispatch extends LiveTask {
  readonly token: string
}

/**
 * `assigned`: sent, not confirmed · `running`: confirmed · `unknown`: the row says it runs, its pod cannot be looked into now ·
 * `leaving`: its end or return to the queue is being written · `done`: its row has ended, the agent has not said that it is gone.
 */
export type Phase = 'assigned' | 'running' | 'unknown' | 'leaving' | 'done'

export interface Live extends Dispatch {
  readonly phase: Phase
  /** Which pod of that name it was given to; null while that is not known. */
  readonly uid: string | null
  /** It was sent or confirmed on this connection: a `hello` that does not name it may be older than it. */
  readonly connection: string | null
  /** Its start was confirmed: by the row, by its agent, or by a `hello` that names it. */
  readonly started: boolean
  /** Sent for the second time: another agent may have started and removed it before. */
  readonly resent: boolean
  /** Since when its pod is missing in the inventory, where that is no proof yet. */
  readonly absentAt: number | null
  /** Counts up; tells what came after a load began. */
  readonly added: number
  /** When its row ended; null: not yet. */
  readonly done_at: number | null
}

export interface Connection {
  readonly id: string
  readonly epoch: number
  readonly version: string | null
  /** Of the wire, as `hello` named it; 0 before that. */
  readonly protocol: number
  /** What the agent said it has; null before `hello`. */
  readonly hello: readonly AttemptPresence[] | null
  readonly draining: boolean
}

/** What must reach Postgres or a task's log. Kept and repeated until it did. */
export type Write =
  | { readonly kind: 'report'; readonly pods: readonly Pod[] }
  | { readonly kind: 'mark_started'; readonly started: readonly (AttemptRef & { started_at: number })[] }
  /** It never started. Told to the row alone, so that nothing is concluded before the row has it; unless its log has received something of it. */
  | { readonly kind: 'fail'; readonly task: Task; readonly outcome: TaskOutcome; readonly generation: number }
  /** `doubted`: it may have started where nobody can look any more; if its log has received something of it, it ends as that says, or is lost. */
  | {
      readonly kind: 'requeue'
      readonly ref: AttemptRef
      readonly run_after: number
      readonly doubted: Task | null
      readonly generation: number
    }
  /** Through the task's log, where a result that is held already wins. */
  | { readonly kind: 'end'; readonly task: Task; readonly outcome: TaskOutcome }
  /** Of queued tasks whose conversation is in one of these pods. Not repeated: the queue is looked at again. */
  | { readonly kind: 'fail_missing_pods'; readonly pods: readonly string[] }
  /** Of a task that went back to the queue although somebody wants it cancelled. */
  | { readonly kind: 'cancel_queued'; readonly task_id: string }

export interface PendingWrite {
  readonly write: Write
  readonly busy: boolean
}

/** Survives everything. */
export interface HubMemory {
  readonly epoch: number
  /** One more for each time that the rows are read: what was claimed under an earlier one leases nothing any more. */
  readonly generation: number
}

export interface HubState {
  readonly durable: HubMemory
  /** Random for each life of the object: makes its claim ids its own. */
  readonly boot: string
  readonly counter: number
  readonly connection: Connection | null
  readonly pods: readonly Pod[]
  /** Since when this connection's agent tells what pods there are; null: it is not welcomed. */
  readonly welcomedAt: number | null
  /** When a pod was last in the inventory, of those that went lately. */
  readonly wentAt: ReadonlyMap<string, number>
  /** When somebody last looked for tasks whose pod is gone. */
  readonly missingPodsAt: number | null
  /** The rows were read for this `hello`; before that nothing is claimed. */
  readonly ready: boolean
  /** When the load in flight began, by `counter`; null: none. */
  readonly loading: number | null
  readonly loadWanted: boolean
  /** The live rows were read in this life of the object. */
  readonly rowsKnown: boolean
  /** Frames that came while the rows were being read. */
  readonly early: readonly HubUp[]
  readonly live: ReadonlyMap<string, Live>
  readonly writes: ReadonlyMap<number, PendingWrite>
  /** `over`: attempts that came and went while its answer was on the way; it may tell of them as if they were new. */
  readonly claim: {
    readonly claim_id: string
    readonly slots: readonly Slot[]
    readonly busy: boolean
    readonly over: readonly string[]
  } | null
  readonly claimAgain: boolean
  /** Something may be queued. */
  readonly queued: boolean
  readonly inspecting: boolean
  /** The queue is looked at again then. */
  readonly inspectAt: number | null
  readonly sweepAt: number | null
  /** Something failed, and is tried again then. */
  readonly retryAt: number | null
  /** Without an agent: when the first attempt is surely gone. */
  readonly orphanAt: number | null
  readonly alarmAt: number | null
  /** The cluster's resources as they were last read; null: not read in this life of the object. */
  readonly desired: DesiredResources | null
  readonly readingDesired: boolean
  /** They must be read again: they changed during a read, or the read failed. */
  readonly desiredWanted: boolean
  /** What the agent of this connection found; null: it has not said. */
  readonly observed: ObservedResources | null
}

export type HubInput =
  /** The object was loaded; the newest socket that lived on while it was away, and its epoch. */
  | { readonly type: 'woke'; readonly connection: { readonly id: string; readonly epoch: number } | null }
  | { readonly type: 'connected'; readonly connection: string }
  | { readonly type: 'frame'; readonly connection: string; readonly frame: HubUp }
  | { readonly type: 'closed'; readonly connection: string }
  | { readonly type: 'poke' }
  /** The cluster's desired resources changed. */
  | { readonly type: 'resources_changed' }
  | { readonly type: 'desired_read'; readonly desired: DesiredResources }
  | { readonly type: 'desired_read_failed' }
  /** A task's row has ended, told by its log. */
  | { readonly type: 'ended'; readonly ref: AttemptRef }
  /** `silentMs`: how long the socket has shown no life. */
  | { readonly type: 'alarm'; readonly silentMs: number | null }
  | { readonly type: 'loaded'; readonly generation: number; readonly live: readonly Dispatch[] }
  | { readonly type: 'load_failed' }
  | { readonly type: 'claimed'; readonly claim_id: string; readonly tasks: readonly Dispatch[] }
  | { readonly type: 'claim_failed'; readonly claim_id: string }
  /** `missing`: pods that something queued is bound to and that were not among the pods of the question; null: not looked for. */
  | {
      readonly type: 'queue_inspected'
      readonly expired: readonly Task[]
      readonly queued: boolean
      readonly next_at: number | null
      readonly missing: readonly string[] | null
    }
  | { readonly type: 'queue_inspection_failed' }
  /** `tasks`: the rows that it changed, where there can be any. */
  | { readonly type: 'written'; readonly id: number; readonly tasks: readonly Task[] }
  | { readonly type: 'write_failed'; readonly id: number }

export type HubEffect =
  | { readonly type: 'send'; readonly connection: string; readonly frame: HubDown }
  | { readonly type: 'close'; readonly connection: string; readonly code: number; readonly reason: string }
  /** Begin this generation of claims and read the live rows; answer `loaded` or `load_failed`. */
  | { readonly type: 'load'; readonly generation: number }
  /** Answer `claimed` or `claim_failed`. The same id may be asked for again, with a higher number. */
  | {
      readonly type: 'claim'
      readonly claim_id: string
      readonly slots: readonly Slot[]
      readonly generation: number
      readonly number: number
    }
  /** Read the cluster's desired resources; answer `desired_read` or `desired_read_failed`. */
  | { readonly type: 'read_desired' }
  /** Fail what waited too long, see what waits, and for which pods beside these, if given; answer `queue_inspected` or `queue_inspection_failed`. */
  | { readonly type: 'inspect_queue'; readonly pods: readonly string[] | null }
  /** Answer `written` or `write_failed`. */
  | { readonly type: 'write'; readonly id: number; readonly write: Write }
  /** Bring these tasks' logs up to their rows; a hint, not repeated. */
  | { readonly type: 'sync_logs'; readonly tasks: readonly Task[] }
  | { readonly type: 'renew'; readonly refs: readonly AttemptRef[] }
  | { readonly type: 'alarm'; readonly at: number | null }

export type HubStep = Step<HubState, HubEffect>

export const newMemory: HubMemory = { epoch: 0, generation: 0 }

export const initialHub = (boot: string, durable: HubMemory): HubState => ({
  durable,
  boot,
  counter: 0,
  connection: null,
  pods: [],
  welcomedAt: null,
  wentAt: new Map(),
  missingPodsAt: null,
  ready: false,
  loading: null,
  loadWanted: false,
  rowsKnown: false,
  early: [],
  live: new Map(),
  writes: new Map(),
  claim: null,
  claimAgain: false,
  queued: false,
  inspecting: false,
  inspectAt: null,
  sweepAt: null,
  retryAt: null,
  orphanAt: null,
  alarmAt: null,
  desired: null,
  readingDesired: false,
  desiredWanted: false,
  observed: null,
})

export { leaseMs, orphanMs, sweepEveryMs } from '@rdev/shared/domain/limits'

/** Two pings and a half missed: the socket is half open. */
export const silentLimitMs = 45_000
/** While something is queued, or in flight: the net under lost wakes and a lost object. */
export const netMs = 5_000
/** A pod that is missing in what a new connection says may only be news that this agent has not had. One that was there and went is gone. */
export const podAbsentMs = 30_000
/** A pod that was missing for so long without a break is not on its way back: what waits for it alone fails. */
export const missingPodMs = 5 * 60_000
/** How often such tasks are looked for, while something is queued. */
export const missingPodsEveryMs = 30_000
/** An attempt whose row ended and whose agent does not say that it is gone: ask what is there. */
export const doneLimitMs = 60_000
export const maxFailedDispatches = 5
/** Frames kept while the rows are being read. */
export const maxEarlyFrames = 1_000
/** Slots asked for in one claim. */
export const maxClaimSlots = 100
/** Assignments in one frame, so that a frame stays below its limit whatever the prompts weigh. */
export const maxAssignChars = 256 * 1024
