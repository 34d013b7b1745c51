// State, inputs and effects of a cluster's hub. Only `durable` is stored; the rest is rebuilt from `hello` and Postgres.

import type { AttemptPresence, AttemptRef } from '@rdev/shared/domain/attempt'
import type { Failure } from '@rdev/shared/domain/failure'
import type { Pod } from '@rdev/shared/domain/pod'
import type { DesiredResources, ObservedResources } from '@rdev/shared/domain/resource'
import type { Step } from '@rdev/shared/domain/step'
import type { Task, TaskOutcome } from '@rdev/shared/domain/task'
import type { HubDown, HubUp } from '@rdev/shared/wire/hub-frames'
import type { LiveTask, Slot } from '../../ports/dispatch-store.ts'
import type { PartsTold } from './inventory-parts.ts'

/** A leased or running task with the token that opens its log. */
export interface Dispatch extends LiveTask {
  readonly token: string
}

/**
 * `assigned`: sent, not confirmed · `running`: confirmed · `unknown`: the row is live, and nobody can look into its pod now ·
 * `leaving`: its end or its return to the queue is being written · `done`: its row has ended, and the agent has not reported it as finished.
 */
export type Phase = 'assigned' | 'running' | 'unknown' | 'leaving' | 'done'

export interface Live extends Dispatch {
  readonly phase: Phase
  /** The uid of the pod that it was given to; null: not known. */
  readonly uid: string | null
  /** The connection on which it was sent or confirmed: a `hello` of that connection may be older than the entry. Null: none. */
  readonly connection: string | null
  /** Its start was confirmed: by the row, by its agent, or by a `hello` that names it. */
  readonly started: boolean
  /** It was sent more than once: another agent may have started and removed it before. */
  readonly resent: boolean
  /** Since when its pod is missing in the inventory; null: it is not, or its absence counts at once. */
  readonly absentAt: number | null
  /** Value of `counter` when the entry came: tells entries that came after a load began. */
  readonly added: number
  /** When it is ended, if its agent has told no end by then: long after its time limit. */
  readonly overdueAt: number
  /** When its row ended; null: not yet. */
  readonly done_at: number | null
}

/** The API key with which a connection was opened. Null: it does not end by itself. */
export interface ConnectionKey {
  readonly id: string
  readonly expires_at: number | null
}

export interface Connection {
  readonly id: string
  readonly epoch: number
  readonly key: ConnectionKey
  /** When the key was last known to be valid. */
  readonly judgedAt: number
  readonly judging: boolean
  /** The desired resources wait until the key is judged. */
  readonly desiredHeld: boolean
  readonly version: string | null
  /** Protocol version that `hello` named; 0 before it. */
  readonly protocol: number
  /** What the agent said it has; null before `hello`. */
  readonly hello: readonly AttemptPresence[] | null
  /** The parts of an inventory of which more are to come. */
  readonly told: PartsTold | null
  readonly draining: boolean
}

/** What must reach Postgres or a task's log. It is kept and repeated until it succeeded, but for what `writeFailed` drops when it was refused. */
export type Write =
  /** `key_id`: of the connection that told them; a key that is not valid any more reports nothing. */
  | { readonly kind: 'report'; readonly key_id: string; readonly pods: readonly Pod[] }
  | { readonly kind: 'mark_started'; readonly started: readonly (AttemptRef & { started_at: number })[] }
  /** The attempt never started, and its task fails: the row is written first. If its log has received something of it, it ends through the log. */
  | { readonly kind: 'fail'; readonly task: Task; readonly outcome: TaskOutcome; readonly generation: number }
  /**
   * `doubted` is set where the attempt may have started in a pod that nobody can look into any more. If its log has received something of it,
   * the attempt ends with the result that the log holds, or as lost; only otherwise it goes back to the queue.
   */
  | {
      readonly kind: 'requeue'
      readonly ref: AttemptRef
      readonly run_after: number
      readonly doubted: Task | null
      readonly generation: number
    }
  /** Ends the attempt through the task's log: a result that the log holds already wins. */
  | { readonly kind: 'end'; readonly task: Task; readonly outcome: TaskOutcome }
  /** Fails queued tasks whose conversation is in one of these pods. Not repeated: the next inspection of the queue finds them again. */
  | { readonly kind: 'fail_missing_pods'; readonly pods: readonly string[] }
  /** Cancels a task that went back to the queue although it has a cancel request. */
  | { readonly kind: 'cancel_queued'; readonly task_id: string }

export interface PendingWrite {
  readonly write: Write
  readonly busy: boolean
}

/** The part of the state that is stored, so it survives restarts of the object. */
export interface HubMemory {
  readonly epoch: number
  /** Incremented on every load of the live rows. Claims of an older generation lease nothing. */
  readonly generation: number
}

export interface HubState {
  readonly durable: HubMemory
  /** Random for each life of the object: makes its claim ids its own. */
  readonly boot: string
  readonly counter: number
  readonly connection: Connection | null
  readonly pods: readonly Pod[]
  /** When this connection's agent was welcomed; null: not yet. */
  readonly welcomedAt: number | null
  /** Pods that are not in the inventory any more, each with the time when it was last there. */
  readonly wentAt: ReadonlyMap<string, number>
  /** When tasks whose pod is gone were last looked for. */
  readonly missingPodsAt: number | null
  /** The rows were read after this connection's `hello`. Nothing is claimed before that. */
  readonly ready: boolean
  /** Value of `counter` when the load in flight began; null: no load is in flight. */
  readonly loading: number | null
  readonly loadWanted: boolean
  /** The live rows were read in this life of the object. */
  readonly rowsKnown: boolean
  /** Frames that came while the rows were being read. */
  readonly early: readonly HubUp[]
  readonly live: ReadonlyMap<string, Live>
  readonly writes: ReadonlyMap<number, PendingWrite>
  /** The claim in flight. `over`: attempts that ended while its answer was on the way; the answer may still list them. */
  readonly claim: {
    readonly claim_id: string
    /** Of the connection that it was made for. */
    readonly key_id: string
    readonly slots: readonly Slot[]
    readonly busy: boolean
    readonly over: readonly string[]
  } | null
  readonly claimAgain: boolean
  /** Something may be queued. */
  readonly queued: boolean
  readonly inspecting: boolean
  /** When the queue is inspected next. */
  readonly inspectAt: number | null
  readonly sweepAt: number | null
  /** When failed reads and writes are repeated. */
  readonly retryAt: number | null
  /** While no agent is connected: when the first attempt is lost, because its supervisor has ended it. */
  readonly orphanAt: number | null
  readonly alarmAt: number | null
  /** The cluster's resources as they were last read; null: not read in this life of the object. */
  readonly desired: DesiredResources | null
  readonly readingDesired: boolean
  /** The desired resources must be read again: they changed during a read, or the read failed. */
  readonly desiredWanted: boolean
  /** What the agent of this connection observed; null: it has not reported. */
  readonly observed: ObservedResources | null
}

/** A socket that survived the object's sleep; `since`: when it was opened. */
export interface Woken extends Pick<Connection, 'id' | 'epoch' | 'key'> {
  readonly since: number
}

export type HubInput =
  /** The object was loaded. `connection` is the newest socket that survived its sleep, with its epoch. */
  | { readonly type: 'woke'; readonly connection: Woken | null }
  | { readonly type: 'connected'; readonly connection: string; readonly key: ConnectionKey }
  | { readonly type: 'frame'; readonly connection: string; readonly frame: HubUp }
  | { readonly type: 'closed'; readonly connection: string }
  | { readonly type: 'poke' }
  /** A project of the cluster was registered: what the agent says of its pod counts now. */
  | { readonly type: 'project_registered' }
  /** A hint: this key was revoked. */
  | { readonly type: 'key_revoked'; readonly key_id: string }
  /** `valid`: whether the connection's key still speaks for the cluster; null: that could not be asked. */
  | { readonly type: 'key_judged'; readonly connection: string; readonly valid: boolean | null }
  /** The cluster's desired resources changed. */
  | { readonly type: 'resources_changed' }
  | { readonly type: 'desired_read'; readonly desired: DesiredResources }
  | { readonly type: 'desired_read_failed'; readonly why: Failure }
  /** The task's log reports that its row has ended. */
  | { readonly type: 'ended'; readonly ref: AttemptRef }
  /** `silentMs`: how long the socket has shown no life. */
  | { readonly type: 'alarm'; readonly silentMs: number | null }
  | { readonly type: 'loaded'; readonly generation: number; readonly live: readonly Dispatch[] }
  | { readonly type: 'load_failed'; readonly why: Failure }
  | { readonly type: 'claimed'; readonly claim_id: string; readonly tasks: readonly Dispatch[] }
  | { readonly type: 'claim_failed'; readonly claim_id: string; readonly why: Failure }
  /** `missing`: pods that queued tasks are bound to and that were not among the pods of the effect; null: it did not ask. */
  | {
      readonly type: 'queue_inspected'
      readonly expired: readonly Task[]
      readonly queued: boolean
      readonly next_at: number | null
      readonly missing: readonly string[] | null
    }
  | { readonly type: 'queue_inspection_failed'; readonly why: Failure }
  /** `tasks`: the rows that the write changed, where its kind answers rows. */
  | { readonly type: 'written'; readonly id: number; readonly tasks: readonly Task[] }
  | { readonly type: 'write_failed'; readonly id: number; readonly why: Failure }

export type HubEffect =
  | { readonly type: 'send'; readonly connection: string; readonly frame: HubDown }
  | { readonly type: 'close'; readonly connection: string; readonly code: number; readonly reason: string }
  /** Begin this generation of claims and read the live rows; answer `loaded` or `load_failed`. */
  | { readonly type: 'load'; readonly generation: number }
  /** Answer `claimed` or `claim_failed`. A claim is repeated with the same id and a higher number. */
  | {
      readonly type: 'claim'
      readonly claim_id: string
      readonly key_id: string
      readonly slots: readonly Slot[]
      readonly generation: number
      readonly number: number
    }
  /** Read the cluster's desired resources; answer `desired_read` or `desired_read_failed`. */
  | { readonly type: 'read_desired' }
  /**
   * Fail tasks past their deadline, and see whether tasks wait and, where `pods` is given, for which other pods; answer `queue_inspected` or
   * `queue_inspection_failed`.
   */
  | { readonly type: 'inspect_queue'; readonly pods: readonly string[] | null }
  /** Answer `written` or `write_failed`. */
  | { readonly type: 'write'; readonly id: number; readonly write: Write }
  /** Bring these tasks' logs up to their rows; a hint, not repeated. */
  | { readonly type: 'sync_logs'; readonly tasks: readonly Task[] }
  /** Read the key of the connection; answer `key_judged`. */
  | { readonly type: 'judge_key'; readonly connection: string; readonly key_id: string }
  /** Close the lines of these tasks that were opened with this key; a hint, not repeated: a line judges its key too. */
  | { readonly type: 'close_lines'; readonly key_id: string; readonly tasks: readonly Task[] }
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

/** Two pings and a half missed: the socket is half open. */
export const silentLimitMs = 45_000
/** How often the hub looks while something is queued or in flight, in case a poke or the object was lost. */
export const netMs = 5_000
/** How often something is asked again that was refused and cannot be dropped: only another version of the program or of the database helps. */
export const refusedAgainMs = 10 * 60_000
/** How long a pod must be missing before its attempts are given up, if this agent never reported it: the agent may not have seen it yet. */
export const podAbsentMs = 30_000
/** A pod that was missing for so long without a break does not come back: tasks that can run only there fail. */
export const missingPodMs = 5 * 60_000
/** How often tasks whose pod is missing are looked for, while something is queued. */
export const missingPodsEveryMs = 30_000
/** How long after its row ended an attempt may stay unreported: then the hub asks for `hello`. */
export const doneLimitMs = 60_000
export const maxFailedDispatches = 5
/** Frames kept while the rows are being read; bounds the memory that an agent can take. */
export const maxEarlyFrames = 1_000
/** Slots that one claim offers. */
export const maxClaimSlots = 100
/** Characters of assignments in one frame, so that the frame stays below its limit however long the prompts are. */
export const maxAssignChars = 256 * 1024
/** Attempts to stop in one `welcome`; more are told in further ones. */
export const maxStops = 5_000
