// A task, its states, and all of its transitions. Pure functions: stores run them, or SQL that does the same.

import type { AgentProvider, PermissionMode } from './code-agent.ts'
import type { TaskErrorCode } from './errors.ts'
import { addUsage } from './event.ts'
import type { DeniedTool, Usage } from './event.ts'
import { pick } from './pick.ts'

export const taskKinds = ['agent', 'shell', 'git'] as const
export type TaskKind = (typeof taskKinds)[number]

export const liveStatuses = ['queued', 'leased', 'running'] as const
export const terminalStatuses = ['succeeded', 'failed', 'cancelled', 'timed_out', 'lost'] as const
export const taskStatuses = [...liveStatuses, ...terminalStatuses] as const
export type TerminalStatus = (typeof terminalStatuses)[number]
export type TaskStatus = (typeof taskStatuses)[number]
export const isTerminal = (status: TaskStatus): status is TerminalStatus => (terminalStatuses as readonly string[]).includes(status)
/** An agent has the task or is about to get it: it takes a slot. */
export const isLive = (status: TaskStatus): boolean => status === 'leased' || status === 'running'

export const taskTargets = ['project', 'pool'] as const
export type TaskTarget = (typeof taskTargets)[number]

export const retryClasses = ['never_started', 'infra', 'lost', 'rate_limited', 'agent_error'] as const
export type RetryClass = (typeof retryClasses)[number]
export interface RetryPolicy {
  readonly max_attempts: number
  readonly on: readonly RetryClass[]
}

/** The part of a spec that is sent to the agent. */
export interface AttemptSpec {
  readonly kind: TaskKind
  readonly project_id: string
  readonly provider: AgentProvider | null
  readonly prompt: string | null
  /** Kind git: the arguments. Kind shell: a script for `sh -c`. */
  readonly command: string | readonly string[] | null
  readonly session_id: string | null
  readonly model: string | null
  readonly allowed_tools: readonly string[] | null
  readonly permission_mode: PermissionMode | null
  readonly working_dir: string | null
  /** The working copy that the task holds while it is live: at most one live task per project and workspace. Null: it holds none. */
  readonly workspace: string | null
  readonly env: Readonly<Record<string, string>>
  /** Seconds that the attempt may run. */
  readonly timeout_s: number
  /** Seconds without output after which the attempt is ended; null: never. */
  readonly idle_timeout_s: number | null
  /** Send unstored `message.delta` events while the model writes. */
  readonly deltas: boolean
  /** Whether a run that was denied a tool counts as failed. */
  readonly fail_on_denied: boolean
}

const attemptFields = [
  'kind',
  'project_id',
  'provider',
  'prompt',
  'command',
  'session_id',
  'model',
  'allowed_tools',
  'permission_mode',
  'working_dir',
  'workspace',
  'env',
  'timeout_s',
  'idle_timeout_s',
  'deltas',
  'fail_on_denied',
] as const satisfies readonly (keyof AttemptSpec)[]

/** A copy with only the fields of AttemptSpec. */
export const attemptSpecOf = (spec: AttemptSpec): AttemptSpec => pick(spec, attemptFields)

/** What the request asked for; it never changes after the task is accepted. */
export interface TaskSpec extends AttemptSpec {
  /** Seconds that the task may wait in the queue; null: for ever. */
  readonly queue_ttl_s: number | null
  /** Not before this instant; null: at once. */
  readonly run_after: number | null
  readonly priority: number
  readonly retry: RetryPolicy
  readonly target: TaskTarget
  readonly labels: Readonly<Record<string, string>>
  readonly metadata: Readonly<Record<string, unknown>>
}

/** `workspace` undefined: the usual one. */
export type AskedTask = Omit<TaskSpec, 'workspace'> & { readonly workspace: string | null | undefined; readonly retry_of?: string }

/** What a spec says where nothing was asked for. Fields that are not here are always asked for, or have a default of their own. */
export const unaskedSpec = {
  provider: null,
  prompt: null,
  command: null,
  session_id: null,
  model: null,
  allowed_tools: null,
  permission_mode: null,
  working_dir: null,
  idle_timeout_s: null,
  deltas: false,
  fail_on_denied: false,
  queue_ttl_s: null,
  run_after: null,
} as const satisfies Partial<TaskSpec>

/** The project's own working copy, `$HOME/workspace`; others are `$HOME/workspaces/<name>`. */
export const mainWorkspace = 'main'
export const workspacePattern = /^[a-z0-9][a-z0-9._-]{0,62}$/
export const defaultWorkspace = (target: TaskTarget): string | null => (target === 'project' ? mainWorkspace : null)

/** `run_after` may be at most this far ahead. */
export const maxRunAfterDays = 30

/** A row of the queue. Instants are milliseconds since the epoch. `attempt` is 0 until the first lease. */
export interface Task {
  readonly id: string
  readonly spec: TaskSpec
  readonly status: TaskStatus
  readonly attempt: number
  readonly lane: string
  readonly run_after: number
  readonly queue_deadline_at: number | null
  readonly cluster_id: string
  readonly pod: string | null
  /** Uid of `pod` at the lease; null: not known. */
  readonly pod_uid: string | null
  readonly lease_until: number | null
  readonly claim_id: string | null
  readonly cancel_requested_at: number | null
  /** The ended task that this one does again. */
  readonly retry_of: string | null
  readonly created_by: string
  readonly created_at: number
  readonly started_at: number | null
  readonly finished_at: number | null
  readonly exit_code: number | null
  readonly result: string | null
  readonly error_code: TaskErrorCode | null
  readonly error: string | null
  /** Of all its attempts together, like the cost. */
  readonly usage: Usage | null
  readonly cost_usd: number | null
  /** Of its last attempt. Null: none was denied. */
  readonly denied_tools: readonly DeniedTool[] | null
}

/** How an attempt ended. The log's `task.finished` and the row both take it from here. */
export interface TaskOutcome {
  readonly status: TerminalStatus
  readonly exit_code: number | null
  readonly result: string | null
  readonly error_code: TaskErrorCode | null
  readonly error: string | null
  readonly usage: Usage | null
  readonly cost_usd: number | null
  readonly denied_tools: readonly DeniedTool[] | null
  /** Measured in the pod, start to end; null if it never started. */
  readonly duration_ms: number | null
  /** The provider's id of the conversation, to be continued by the next task of the session. */
  readonly provider_session_id: string | null
  /** With RATE_LIMITED: when the provider says that its limit resets, in milliseconds since the epoch; null if it did not say. */
  readonly resets_at: number | null
}

export const outcome = (status: TerminalStatus, more: Partial<TaskOutcome> = {}): TaskOutcome => ({
  status,
  exit_code: null,
  result: null,
  error_code: null,
  error: null,
  usage: null,
  cost_usd: null,
  denied_tools: null,
  duration_ms: null,
  provider_session_id: null,
  resets_at: null,
  ...more,
})

const refusedWords = 'the rest of this result could not be stored'

/** How an attempt ended, without the words and facts of others: what is kept when a store refused the whole. */
export const bareOutcome = ({ status, exit_code, error_code, duration_ms, resets_at }: TaskOutcome): TaskOutcome =>
  outcome(status, { exit_code, error_code, error: refusedWords, duration_ms, resets_at })
export const isBare = (end: TaskOutcome): boolean => end.error === refusedWords && end.result === null

/** queued → leased. The new attempt number is the fencing token. */
export function lease(task: Task, by: { pod: string; podUid: string; claimId: string; leaseUntil: number }): Task {
  if (task.status !== 'queued') return task
  const where = { pod: by.pod, pod_uid: by.podUid, claim_id: by.claimId, lease_until: by.leaseUntil }
  return { ...task, status: 'leased', attempt: task.attempt + 1, ...where }
}

/** leased → running; anything else, or another attempt, changes nothing. */
export function start(task: Task, attempt: number, now: number): Task {
  if (task.status !== 'leased' || task.attempt !== attempt) return task
  return { ...task, status: 'running', started_at: now }
}

/** How a task ended, without the fields that only its log keeps. */
type Ended = Pick<Task, 'status' | 'error_code' | 'error'> & Partial<Task> & { readonly status: TerminalStatus }

/** queued | leased | running → terminal. The only way that a task ends: every transition to a terminal status goes through here. */
const end = (task: Task, how: Ended, now: number): Task => ({ ...task, ...how, finished_at: now, lease_until: null })

type Spent = Pick<TaskOutcome, 'usage' | 'cost_usd'>

/** What a task and another attempt of it spent together. Null: nothing is known of either. */
const together = (task: Spent, more: Spent): Spent => ({
  usage: task.usage && more.usage ? addUsage(task.usage, more.usage) : (more.usage ?? task.usage),
  cost_usd: task.cost_usd === null && more.cost_usd === null ? null : (task.cost_usd ?? 0) + (more.cost_usd ?? 0),
})

/** leased | running → terminal, fenced by the attempt: a stale attempt changes nothing. */
export function finish(task: Task, attempt: number, how: TaskOutcome, now: number): Task {
  if (isTerminal(task.status) || task.status === 'queued' || task.attempt !== attempt) return task
  const { duration_ms, provider_session_id: _, resets_at: __, ...facts } = how
  const started = task.started_at ?? (duration_ms === null ? null : Math.max(task.created_at, now - duration_ms))
  return end(task, { ...facts, ...together(task, how), started_at: started }, now)
}

/** queued → cancelled at once. Leased and running tasks record the cancel request; their exit record decides the end. Ended: unchanged. */
export function cancel(task: Task, now: number): Task {
  if (isTerminal(task.status)) return task
  if (task.status === 'queued') {
    return end(task, { status: 'cancelled', error_code: 'CANCELLED', error: 'cancelled while queued', cancel_requested_at: now }, now)
  }
  return task.cancel_requested_at === null ? { ...task, cancel_requested_at: now } : task
}

/** leased → queued. Only for an attempt that surely never started. */
export function requeue(task: Task, attempt: number, runAfter: number): Task {
  if (task.status !== 'leased' || task.attempt !== attempt) return task
  return { ...task, status: 'queued', pod: null, pod_uid: null, claim_id: null, lease_until: null, run_after: runAfter }
}

/**
 * leased | running → queued, for another attempt under the task's retry policy. The queue deadline ends, because the task has left the queue
 * once. A task with a cancel request stays unchanged.
 */
export function retry(task: Task, attempt: number, how: Spent, runAfter: number): Task {
  if ((task.status !== 'leased' && task.status !== 'running') || task.attempt !== attempt || task.cancel_requested_at !== null) return task
  const again = {
    status: 'queued',
    pod: null,
    pod_uid: null,
    claim_id: null,
    lease_until: null,
    started_at: null,
    queue_deadline_at: null,
  } as const
  return { ...task, ...again, ...together(task, how), run_after: runAfter }
}

/** The end of a task past its queue deadline, and of one whose conversation is in a pod that is gone. */
export const expired = { status: 'failed', error_code: 'QUEUE_EXPIRED', error: 'waited in the queue for longer than queue_ttl_s' } as const
export const podMissing = {
  status: 'failed',
  error_code: 'POD_UNAVAILABLE',
  error: 'the pod that holds this conversation is gone',
} as const

/** queued → failed, past its queue deadline. */
export function expire(task: Task, now: number): Task {
  if (task.status !== 'queued' || task.queue_deadline_at === null || task.queue_deadline_at > now) return task
  return end(task, expired, now)
}

/** queued → failed: the pod that holds its conversation is gone, and it can run in no other. */
export function failMissingPod(task: Task, now: number): Task {
  if (task.status !== 'queued') return task
  return end(task, podMissing, now)
}

/** The class by which a retry policy names this failure; null: no policy retries it. */
export function retryClassOf(end: Pick<TaskOutcome, 'status' | 'error_code'>): RetryClass | null {
  if (end.status === 'lost') return 'lost'
  if (end.status !== 'failed') return null
  switch (end.error_code) {
    case 'RATE_LIMITED':
      return 'rate_limited'
    case 'AGENT_ERROR':
    case 'EMPTY_RESULT':
      return 'agent_error'
    case 'POD_UNAVAILABLE':
    case 'IMAGE_PULL':
    case 'WORKSPACE_ERROR':
    case 'STALE_WORKER':
      return 'infra'
    default:
      return null
  }
}

/** Whether another attempt follows this end. None follows a cancel request; the store checks for one again when it writes. */
export function mayRetry(
  task: Pick<Task, 'spec' | 'attempt' | 'cancel_requested_at'>,
  end: Pick<TaskOutcome, 'status' | 'error_code'>,
): boolean {
  const kind = retryClassOf(end)
  return (
    kind !== null && task.cancel_requested_at === null && task.attempt < task.spec.retry.max_attempts && task.spec.retry.on.includes(kind)
  )
}
