// What the use cases, routes and objects of the control plane need from outside. Every port has two sides (memory and Postgres,
// in-process and Durable Object) that pass one suite. Instants are milliseconds since the epoch.

import type { ApiKey, Caller } from '@rdev/shared/domain/api-key'
import type { AgentProvider } from '@rdev/shared/domain/code-agent'
import type { Pod } from '@rdev/shared/domain/pod'
import type { Project, ProjectChange } from '@rdev/shared/domain/project'
import type { DesiredResources } from '@rdev/shared/domain/resource'
import type { Session } from '@rdev/shared/domain/session'
import type { Task, TaskKind, TaskOutcome, TaskSpec, TaskStatus, TaskTarget } from '@rdev/shared/domain/task'

export interface Page<Item> {
  readonly data: readonly Item[]
  readonly next_cursor: string | null
}
export interface PageRequest {
  readonly cursor?: string | undefined
  readonly limit: number
}
/** The projects a caller may see; null: all. Every read by id takes it, so that another tenant's object is simply not there. */
export type ProjectFilter = readonly string[] | null

export interface AttemptRef {
  readonly task_id: string
  readonly attempt: number
}

/** One place in a pod where an attempt could run now. `project_id` null: a pool place. */
export interface Slot {
  readonly pod: string
  /** Tells the pod from its successor of the same name. */
  readonly pod_uid: string
  readonly project_id: string | null
}

/** A leased or running task with what its session adds to an assignment. */
export interface LiveTask {
  readonly task: Task
  readonly provider_session_id: string | null
}

export interface NewTask {
  readonly id: string
  readonly spec: TaskSpec
  readonly created_by: string
  readonly created_at: number
  /** Of kind agent without `session_id` in the request: `spec.session_id` is new and its row is inserted in the same statement. */
  readonly new_session: boolean
  readonly retry_of: string | null
}

/** `repeated`: a task of that id was there already, and is answered as it is now: creating is safe to repeat with the same id. */
export type Inserted =
  | { readonly task: Task; readonly repeated: boolean }
  | { readonly refused: 'no_project' | 'no_session' | 'queue_full' }

/**
 * Why the head of a queue is not running. `due`: nothing is in its way, it goes to the next free place of a pod. `later`: before its
 * `run_after`. `max_running`, `paused`: its lane. `workspace`, `session`: another live or earlier task holds it.
 */
export type WaitReason = 'due' | 'later' | 'max_running' | 'paused' | 'workspace' | 'session'

export interface QueueLane {
  readonly project_id: string
  readonly cluster_id: string
  readonly depth: number
  /** Leased or running. */
  readonly live: number
  readonly max_running: number
  readonly weight: number
  readonly max_queued: number
  readonly paused: boolean
  /** When the task that has waited longest was created. */
  readonly oldest_at: number
  readonly priorities: readonly { readonly priority: number; readonly depth: number }[]
  /** First by the queue's order. `by`: the live task that holds what it waits for, where one does. */
  readonly head: {
    readonly task_id: string
    readonly reason: WaitReason
    readonly target: TaskTarget
    /** The pod that holds its conversation: it goes there or nowhere. Null: any of its target. */
    readonly home: string | null
    readonly run_after: number
    readonly by: string | null
  }
}

export interface Claim {
  readonly clusterId: string
  readonly claimId: string
  readonly slots: readonly Slot[]
  readonly leaseMs: number
  /** That of the asker's last `takeOver`. */
  readonly generation: number
  /** Above that of every claim of this generation that was asked for before; from 1. */
  readonly number: number
}

/** A change that is void once a later generation has begun: whoever began that has read the rows as they were, and acts on them. */
export interface Fence {
  readonly clusterId: string
  readonly generation: number
}

export interface TaskStore {
  /**
   * One statement for all of them, each answered on its own, in their order; the cluster comes from the project's row. A session that
   * one of them continues must exist; one that begins keeps its task's workspace. The row's `run_after` is now or, if later, the spec's. `max_queued` counts what was queued before this call and what of this call comes first.
   */
  insert(tasks: readonly NewTask[]): Promise<readonly Inserted[]>
  get(id: string, projects: ProjectFilter): Promise<Task | undefined>
  list(
    filter: { projects: ProjectFilter; project_id?: string; session_id?: string; status?: TaskStatus; kind?: TaskKind },
    page: PageRequest,
  ): Promise<Page<Task>>
  /** Applies a pure transition, fenced by status and attempt; retried if the row moved meanwhile. Undefined if there is no such task. */
  change(id: string, projects: ProjectFilter, step: (task: Task) => Task): Promise<{ before: Task; after: Task } | undefined>
  /**
   * queued → leased for at most one task per slot. Inside a lane by priority, then run_after, then arrival; at most `max_running` live
   * tasks per project, one per workspace of a project and one per session; a session with a pod goes back to it. Places of the pool are
   * shared among lanes by weight: one that has thousands queued delays another by one place. A lane that is paused, or whose work is all
   * in the future or blocked, takes no place from others. Tasks past `queue_deadline_at` are not claimed.
   * Repeating with the same `claimId` returns what that claim leased and leases nothing more (an answer can be lost after the commit).
   * Nothing is leased by a claim of another generation, nor once a later one of its own has run, or it itself has: a statement that runs late or
   * twice would lease what nobody hears of.
   */
  claim(claim: Claim): Promise<readonly LiveTask[]>
  /**
   * Begins this generation of claims, which makes those of before void, and answers every leased or running task of the cluster; and which
   * generation it is now: another, if somebody has begun a later one. Safe to repeat, however late.
   */
  takeOver(clusterId: string, generation: number): Promise<{ readonly generation: number; readonly live: readonly LiveTask[] }>
  /** leased → running for each that is still at that attempt; one statement. */
  markStarted(started: readonly (AttemptRef & { started_at: number })[]): Promise<void>
  /** leased → queued for each that is still at that attempt; one statement. Only for attempts that never started. */
  requeue(refs: readonly AttemptRef[], runAfter: number, fence?: Fence): Promise<readonly Task[]>
  /**
   * leased | running → terminal, or → queued at `retryAt` if that is given and nobody asked to cancel; fenced by the attempt, one
   * statement, which also writes the session's provider id and pod. Answers the row as it is afterwards, changed or not; undefined if
   * there is none. Safe to repeat.
   */
  finish(ref: AttemptRef, end: TaskOutcome, retryAt: number | null, fence?: Fence): Promise<Task | undefined>
  /** Extends the leases of these attempts (those still live) by `leaseMs` from the store's clock; one statement. */
  renew(clusterId: string, refs: readonly AttemptRef[], leaseMs: number): Promise<void>
  /** Fails queued tasks of the cluster past their `queue_deadline_at` with QUEUE_EXPIRED, at most 500 at once; answers them. */
  expireQueued(clusterId: string): Promise<readonly Task[]>
  /**
   * Of the pods that due tasks are bound to by their conversation, those that are not among `pods`, at most 100 names. Whoever is first in
   * its line is looked at; what stands behind it may be left for later. Lanes that are paused wait, whatever pods there are.
   */
  homeless(clusterId: string, pods: readonly string[]): Promise<readonly string[]>
  /** Fails what `homeless` found to be bound to these pods with POD_UNAVAILABLE, at most 500 at once; answers them. */
  failHomeless(clusterId: string, pods: readonly string[]): Promise<readonly Task[]>
  /** The lanes that have something queued, deepest first, at most `limit`. */
  queue(filter: { projects: ProjectFilter; project_id?: string }, limit: number): Promise<readonly QueueLane[]>
  /** Whether anything is queued, and when the cluster next has something to look at: the earliest future `run_after` or any `queue_deadline_at`. */
  nextDue(clusterId: string): Promise<{ queued: boolean; next_at: number | null }>
}

export interface SessionStore {
  get(id: string, projects: ProjectFilter): Promise<Session | undefined>
  /** Those of them that there are, in one statement, in no order. */
  getMany(ids: readonly string[], projects: ProjectFilter): Promise<readonly Session[]>
  list(filter: { projects: ProjectFilter; project_id?: string }, page: PageRequest): Promise<Page<Session>>
}

export interface ProjectStore {
  get(id: string, projects: ProjectFilter): Promise<Project | undefined>
  /** Those of them that there are, in one statement, in no order. */
  getMany(ids: readonly string[], projects: ProjectFilter): Promise<readonly Project[]>
  list(projects: ProjectFilter, page: PageRequest): Promise<Page<Project>>
  /** Registers the cluster and the projects whose pods it reports; a project of another cluster is left alone. Writes only what changed. */
  report(clusterId: string, pods: readonly Pod[]): Promise<void>
  /** Sets what is given; answers the project as it is afterwards, undefined if there is none. Raising or resuming may make tasks claimable. */
  change(id: string, projects: ProjectFilter, change: ProjectChange): Promise<Project | undefined>
}

/** What a request of that key was answered, to be said again. */
export interface StoredAnswer {
  readonly status: number
  readonly location: string | null
  readonly body: string
}

/**
 * One creating request per caller, route and `Idempotency-Key`. `seed` is chance that was kept before anything was created: whoever does
 * the request again after a crash makes the same ids of it, so nothing is created twice.
 */
export interface IdempotencyStore {
  /** `mine`: do it, and `finish`. `busy`: somebody does it at this moment. `mismatch`: the key was used for another body. */
  begin(request: {
    readonly caller: string
    readonly route: string
    readonly key: string
    readonly body_hash: string
    /** Used if the request is new. */
    readonly seed: Uint8Array
    /** After this long without an end, the one who began has died: the next one does it, with the same seed and time. */
    readonly takeOverMs: number
    readonly keepMs: number
  }): Promise<
    | { readonly state: 'mine'; readonly seed: Uint8Array; readonly at: number }
    | { readonly state: 'done'; readonly answer: StoredAnswer }
    | { readonly state: 'busy' | 'mismatch' }
  >
  /** Keeps the answer. Null: it was refused without creating anything, and the key is free again. */
  finish(request: { readonly caller: string; readonly route: string; readonly key: string }, answer: StoredAnswer | null): Promise<void>
}

/** What each cluster should have beside running attempts. */
export interface ResourceSource {
  /** The whole set, and its version, which goes up with every change. Asked by the cluster's hub at every `hello` and when it is told of a change. */
  desired(clusterId: string): Promise<DesiredResources>
}

export interface ClusterStore {
  list(): Promise<readonly { id: string }[]>
}

export interface KeyStore {
  insert(key: ApiKey): Promise<void>
  findByPrefix(prefix: string): Promise<ApiKey | undefined>
  get(id: string): Promise<ApiKey | undefined>
  list(page: PageRequest): Promise<Page<ApiKey>>
  /** Sets `revoked_at` if it is not set; answers the key as it is afterwards. */
  revoke(id: string, now: number): Promise<ApiKey | undefined>
}

export interface HubStatus {
  readonly connected: boolean
  readonly agent_version: string | null
  readonly pods: readonly (Pod & { readonly running: number })[]
}

/** The hub of each cluster. */
export interface Hubs {
  /** Something may be claimable. Coalesced, cheap, may be lost: the row is the truth. */
  poke(clusterId: string): Promise<void>
  status(clusterId: string): Promise<HubStatus>
}

/** One stored event in its one encoding, shared by all readers and all formats. */
export interface LogLine {
  readonly seq: number
  readonly type: string
  readonly json: string
}
export type LogItem = LogLine | { readonly seq: null; readonly type: 'message.delta'; readonly json: string }

export interface TaskLogs {
  /** Brings the log up to what the row says: `task.queued`, `task.leased` of its attempt, `task.finished` of an ended task. Repeating is harmless. */
  sync(task: Task): Promise<void>
  /** Wants the attempt cancelled; told to its line now, or when it next connects. The row was written before. */
  cancel(task: Task, graceS: number): Promise<void>
  /**
   * Stored events after `after`, at most `limit` (fewer where they are large, none only at the end). `finished` when the log is complete
   * and nothing follows them; so also when there are none after `after`.
   */
  page(taskId: string, after: number, limit: number): Promise<{ lines: readonly LogLine[]; finished: boolean }>
  /** Everything after `after`, in order, live, in batches; ends after `task.finished`, or when `signal` aborts. The reader's pace is kept. */
  follow(taskId: string, options: { after: number; deltas: boolean; signal: AbortSignal }): AsyncIterable<readonly LogItem[]>
  /** True as soon as `task.finished` is in the log, false after `waitMs`. */
  ended(taskId: string, waitMs: number, signal: AbortSignal): Promise<boolean>
}

/** Signed, short-lived tokens that need no table: attempts' lines and stream tickets. */
export interface Tokens {
  sign(claims: TokenClaims): Promise<string>
  /** The claims, or undefined if forged, expired or of another kind. */
  verify<Kind extends TokenClaims['kind']>(kind: Kind, token: string): Promise<Extract<TokenClaims, { kind: Kind }> | undefined>
}
export type TokenClaims =
  | {
      readonly kind: 'attempt'
      readonly task_id: string
      readonly attempt: number
      readonly cluster_id: string
      readonly epoch: number
      readonly expires_at: number
    }
  | { readonly kind: 'stream'; readonly task_id: string; readonly key_id: string; readonly expires_at: number }

export interface Clock {
  now(): number
}
/** `random` fills that many bytes; `chance` is uniform in [0, 1). */
export interface Randomness {
  bytes(count: number): Uint8Array
  chance(): number
}

export interface Log {
  (level: 'info' | 'warn' | 'error', phrase: string, fields?: Readonly<Record<string, unknown>>): void
}

/** Finds who a key belongs to; throws DomainError UNAUTHORIZED, KEY_REVOKED or KEY_EXPIRED. */
export interface Authenticator {
  (key: string | undefined): Promise<Caller>
}

export interface Deps {
  readonly tasks: TaskStore
  readonly sessions: SessionStore
  readonly projects: ProjectStore
  readonly clusters: ClusterStore
  readonly keys: KeyStore
  readonly idempotency: IdempotencyStore
  readonly hubs: Hubs
  readonly logs: TaskLogs
  readonly tokens: Tokens
  readonly clock: Clock
  readonly random: Randomness
  readonly log: Log
  /** Answers whether the database can be asked. */
  readonly ready: () => Promise<boolean>
  /** The environment's first admin key, if one is set: compared in constant time, never stored. */
  readonly adminKey: string | null
  readonly providers: readonly AgentProvider[]
}
