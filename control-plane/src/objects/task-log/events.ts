// The events that a log writes by itself, from the task's row. Everything else comes from the attempt.

import type { EventData, TaskEvent } from '@rdev/shared/domain/event'
import { fitsLine } from '@rdev/shared/domain/event-parts'
import type { Task, TaskOutcome } from '@rdev/shared/domain/task'
import { leaseMs, maxDataBytes } from '@rdev/shared/domain/limits'
import { jsonTextEnd, utf8Length } from '@rdev/shared/domain/text'

import { instant } from './instant.ts'

const present = (data: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> =>
  Object.fromEntries(Object.entries(data).filter(([, value]) => value !== null && value !== undefined))

/** An error is a sentence; a longer one leaves room for the result. */
const maxErrorBytes = 16 * 1024

/** These events come once, so they have no parts: what is too long for a line is cut, and the row has all of it. */
export function inOneLine(data: EventData): EventData {
  if (fitsLine(data)) return data
  const cut = (text: unknown, bytes: number) => (typeof text === 'string' ? text.slice(0, jsonTextEnd(text, 0, bytes)) : undefined)
  const { result, error, ...rest } = data
  const short = { ...rest, ...present({ error: cut(error, maxErrorBytes) }), truncated: true }
  const room = maxDataBytes - utf8Length(JSON.stringify({ ...short, result: '' }))
  return { ...short, ...present({ result: cut(result, room) }) }
}

export function queuedEvent(task: Task, seq: number): TaskEvent {
  const { kind, project_id, provider, session_id, workspace, priority, run_after } = task.spec
  // Only the reasons that are certain at creation; the others change, and `GET /v1/queue` shows them.
  const waits = run_after !== null && run_after > task.created_at ? { reason: 'later', run_after: instant(run_after) } : {}
  const data = present({ kind, project_id, provider, session_id, workspace, priority, retry_of: task.retry_of, ...waits })
  return { seq, type: 'task.queued', time: instant(task.created_at), task_id: task.id, attempt: 0, data }
}

/** The log learns of a lease after the agent does, so the event's time comes from the row, as long as the row still shows the lease. */
export function leasedEvent(task: Task, seq: number, now: number): TaskEvent {
  const data = present({ cluster_id: task.cluster_id, pod: task.pod })
  const leasedAt = task.lease_until === null ? now : Math.min(now, Math.max(task.created_at, task.lease_until - leaseMs))
  return { seq, type: 'task.leased', time: instant(leasedAt), task_id: task.id, attempt: task.attempt, data }
}

/** `ended` is how the attempt ended; null if it never started. */
export function requeuedEvent(task: Task, attempt: number, ended: TaskOutcome | null, seq: number, now: number): TaskEvent {
  const data = present({
    reason: ended === null ? 'not_started' : (ended.error_code ?? ended.status),
    error: ended?.error,
    next_attempt: attempt + 1,
    not_before: task.attempt === attempt ? instant(task.run_after) : null,
  })
  return { seq, type: 'task.requeued', time: instant(now), task_id: task.id, attempt, data: inOneLine(data) }
}

/** From the row, so that the log and `GET /v1/tasks/{id}` agree; only the duration comes from the pod. */
export function finishedEvent(task: Task, ended: TaskOutcome | null, seq: number, now: number): TaskEvent {
  const { status, error_code, error, exit_code, result, usage, cost_usd, denied_tools, started_at, finished_at } = task
  const measured = started_at !== null && finished_at !== null ? Math.max(0, finished_at - started_at) : 0
  const data = {
    status,
    ...present({ error_code, error, exit_code, result, usage, cost_usd, denied_tools }),
    duration_ms: ended?.duration_ms ?? measured,
  }
  return { seq, type: 'task.finished', time: instant(now), task_id: task.id, attempt: task.attempt, data: inOneLine(data) }
}
