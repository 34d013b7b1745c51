// One lease of a task by a cluster. Its number is the fencing token; its directory in the pod is the start guard.

import type { AttemptSpec } from './task.ts'

/** Everything an agent needs to start or adopt an attempt. Level-triggered: sent again on every reconnect. */
export interface Assignment extends AttemptSpec {
  readonly task_id: string
  readonly attempt: number
  readonly pod: string
  /** Of the pod that is meant: another may have its name by now. Null: from a hub that does not say. */
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

/** What a pod answers when it is asked for its attempts. `home` names its rdev directory: another home is another pod. */
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

/** How far the log has read: byte offsets for a process; `state` is the code agent's own (bounded), opaque to everyone else. */
export interface Cursor {
  readonly stdout: number
  readonly stderr: number
  readonly state?: unknown
}
export const startCursor: Cursor = { stdout: 0, stderr: 0 }

/** Written by the supervisor at the end, aside and renamed: the only truth about how a process ended. */
export interface ExitRecord {
  readonly exit_code: number
  readonly stdout_bytes: number
  readonly stderr_bytes: number
  /** Milliseconds since the epoch, by the pod's clock. */
  readonly started_at: number
  readonly ended_at: number
  /** The disk of the pod was full when this was written: what the process wrote last may not have found room. */
  readonly disk_full?: boolean
  readonly reason: 'exited' | 'cancelled' | 'timeout' | 'orphaned' | 'stopped' | 'supervisor_died' | 'container_gone'
}
