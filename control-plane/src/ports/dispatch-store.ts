import type { AttemptRef } from '@rdev/shared/domain/attempt'
import type { Task, TaskOutcome } from '@rdev/shared/domain/task'

/** Room in a pod for one attempt. `project_id` null: the pod belongs to the pool. */
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

export interface Claim {
  readonly clusterId: string
  readonly claimId: string
  /** The key of the cluster's connection. If it is revoked or has ended, the claim leases nothing. Null: there is no connection, as in tests. */
  readonly keyId: string | null
  readonly slots: readonly Slot[]
  readonly leaseMs: number
  /** Generation of the hub's last `takeOver`. */
  readonly generation: number
  /** From 1; higher than in every earlier claim of this generation. */
  readonly number: number
}

/** The change is void once a later generation has begun: the hub that began it has read the rows, and acts on what it read. */
export interface Fence {
  readonly clusterId: string
  readonly generation: number
}

/** The hub's side of the queue, from lease to end. */
export interface DispatchStore {
  /**
   * queued → leased for at most one task per slot. Inside a lane by priority, then run_after, then arrival; at most `max_running` live
   * tasks per project, one per workspace of a project and one per session; a session with a pod goes back to it. Slots of the pool are
   * shared among lanes by weight (start-time fair queueing: Goyal, Vin, Cheng, SIGCOMM 1996; docs/queue.md): a lane with thousands queued
   * delays another by one slot. A lane that is paused, or whose tasks are all in the future or blocked, takes no slot from others. Tasks of a project
   * without `allow_pool` get no slot of the pool, whatever holds their conversation. Tasks past `queue_deadline_at` are not claimed. The row and its attempt keep the slot's pod and `pod_uid`.
   * Repeating with the same `claimId` returns what that claim leased and leases nothing more (an answer can be lost after the commit).
   * A claim leases nothing if its generation is not the newest, if a claim with a higher number of its generation has run, or if it has run
   * itself: a statement that runs late or twice would lease tasks that no hub knows of.
   */
  claim(claim: Claim): Promise<readonly LiveTask[]>
  /**
   * Begins this generation of claims, which makes earlier ones void, and answers every leased or running task of the cluster. `generation` of
   * the answer is the newest one: a higher number if a later generation has begun already. Safe to repeat, however late.
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
  /** Sets the leases of those attempts that are still live to `leaseMs` after the store's clock; one statement. */
  renew(clusterId: string, refs: readonly AttemptRef[], leaseMs: number): Promise<void>
  /** Fails queued tasks of the cluster past their `queue_deadline_at` with QUEUE_EXPIRED, at most 500 at once; answers them. */
  expireQueued(clusterId: string): Promise<readonly Task[]>
  /**
   * Pods that due tasks are bound to by their conversation and that are not among `pods`; at most 100 names. Only the heads of ordering keys
   * are read: tasks behind them come up when their head has gone. Tasks of a paused lane are left alone.
   */
  missingPods(clusterId: string, pods: readonly string[]): Promise<readonly string[]>
  /** Fails due tasks that are bound to one of these missing pods with POD_UNAVAILABLE, at most 500 at once; answers them. */
  failMissingPods(clusterId: string, pods: readonly string[]): Promise<readonly Task[]>
  /** Whether anything is queued, and when the hub must look next: the earliest future `run_after`, or the earliest `queue_deadline_at`. */
  nextDue(clusterId: string): Promise<{ queued: boolean; next_at: number | null }>
}
