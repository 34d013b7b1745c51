// An attempt is one lease of a task by a cluster. Its number is the fencing token; its directory in the pod is the start guard.

import type { AttemptSpec } from './task.ts'

/** Names one attempt: the fence of every write about it. */
export interface AttemptRef {
  readonly task_id: string
  readonly attempt: number
}

/** Everything an agent needs to start or adopt an attempt. Level-triggered: sent again on every reconnect. */
export interface Assignment extends AttemptSpec {
  readonly task_id: string
  readonly attempt: number
  readonly pod: string
  /** Uid of the pod that is meant, because another pod may have its name by now. Null: an older hub, which does not send it. */
  readonly pod_uid: string | null
  readonly provider_session_id: string | null
  /** Opens the task's log to this attempt only. */
  readonly token: string
}

/** An attempt directory as found in a pod. */
export interface AttemptPresence {
  readonly task_id: string
  readonly attempt: number
  readonly pod: string
  readonly state: 'running' | 'exited' | 'broken'
}

/** A pod's attempts. `home` is the id of its rdev directory: another id means another pod. */
export interface PodAttempts {
  readonly home: string
  readonly attempts: readonly AttemptPresence[]
}

export const rejectReasons = [
  'no_such_pod',
  'pod_not_ready',
  'no_free_slot',
  'draining',
  'already_ended',
  'floor',
  'workspace_busy',
  'start_failed',
  'binary_missing',
  'invalid',
] as const
export type RejectReason = (typeof rejectReasons)[number]

/** Where reading goes on: byte offsets of the process's output; `state` belongs to the code agent, bounded, and opaque to others. */
export interface Cursor {
  readonly stdout: number
  readonly stderr: number
  readonly state?: unknown
}
export const startCursor: Cursor = { stdout: 0, stderr: 0 }

/** Why a process tree was stopped before its process ended. */
export type StopReason = 'cancelled' | 'timeout' | 'stopped'

/** How a process ended. The supervisor writes it to another file and renames it; nothing else says how a process ended. */
export interface ExitRecord {
  readonly exit_code: number
  readonly stdout_bytes: number
  readonly stderr_bytes: number
  /** Milliseconds since the epoch, by the pod's clock. */
  readonly started_at: number
  readonly ended_at: number
  /** The pod's disk was full when this was written, so the last output of the process may be missing. */
  readonly disk_full?: boolean
  readonly reason: 'exited' | StopReason | 'orphaned' | 'supervisor_died' | 'container_gone'
}
