// The task logs in memory: they number, page, follow and end as the Durable Objects do, in one process.

import type { EventData, StoredEventType, TaskEvent } from '@rdev/shared/domain/event'
import { isTerminal } from '@rdev/shared/domain/task'
import type { Task } from '@rdev/shared/domain/task'
import { finishedEvent, leasedEvent, queuedEvent } from '../objects/task-log/events.ts'
import type { Clock } from '../ports/clock.ts'
import type { LogItem, LogEntry, TaskLogs } from '../ports/task-logs.ts'

export interface MemoryTaskLogs extends TaskLogs {
  /** As if the task's attempt had sent it. */
  append(taskId: string, type: StoredEventType, data: EventData): LogEntry
  /** To followers that asked for deltas; not stored. */
  delta(taskId: string, data: EventData): void
  readonly cancels: { readonly task_id: string; readonly grace_s: number }[]
  /** How many readers follow now. */
  followers(taskId: string): number
  /** Resolves when that many follow. */
  followed(taskId: string, count: number): Promise<void>
}

interface Follower {
  readonly deltas: LogItem[]
}
interface TaskLog {
  readonly lines: LogEntry[]
  readonly followers: Set<Follower>
  attempt: number
  finished: boolean
}

const maxBatch = 500
/** A follower that takes nothing loses deltas, never stored events. */
const maxDeltas = 1000

export function memoryTaskLogs(clock: Clock): MemoryTaskLogs {
  const logs = new Map<string, TaskLog>()
  const changed = new Set<() => void>()
  const cancels: { task_id: string; grace_s: number }[] = []

  const logOf = (taskId: string): TaskLog => {
    const known = logs.get(taskId)
    if (known) return known
    const fresh = { lines: [], followers: new Set<Follower>(), attempt: 0, finished: false }
    logs.set(taskId, fresh)
    return fresh
  }

  const tell = () => {
    for (const wake of changed) wake()
  }

  /** Resolves when anything changed or when `signal` aborts. */
  const change = (signal: AbortSignal | null) =>
    new Promise<void>((resolve) => {
      const done = () => {
        changed.delete(done)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      changed.add(done)
      signal?.addEventListener('abort', done)
      if (signal?.aborted) done()
    })

  const add = (log: TaskLog, event: TaskEvent): LogEntry => {
    const line = { seq: event.seq, type: event.type, json: JSON.stringify(event) }
    log.lines.push(line)
    return line
  }

  return {
    cancels,
    followers: (taskId) => logOf(taskId).followers.size,

    async followed(taskId, count) {
      while (logOf(taskId).followers.size !== count) await change(null)
    },

    append(taskId, type, data) {
      const log = logOf(taskId)
      if (log.finished) throw new Error('nothing follows task.finished')
      const time = new Date(clock.now()).toISOString()
      const line = add(log, { seq: log.lines.length + 1, type, time, task_id: taskId, attempt: log.attempt, data })
      tell()
      return line
    },

    delta(taskId, data) {
      const log = logOf(taskId)
      const json = JSON.stringify({ type: 'message.delta', task_id: taskId, attempt: log.attempt, data })
      for (const follower of log.followers) {
        if (follower.deltas.length < maxDeltas) follower.deltas.push({ seq: null, type: 'message.delta', json })
      }
      tell()
    },

    async sync(task: Task) {
      const log = logOf(task.id)
      if (log.finished) return
      if (log.lines.length === 0) add(log, queuedEvent(task, 1))
      if (task.attempt > log.attempt) {
        log.attempt = task.attempt
        add(log, leasedEvent(task, log.lines.length + 1, clock.now()))
      }
      if (isTerminal(task.status)) {
        add(log, finishedEvent(task, null, log.lines.length + 1, clock.now()))
        log.finished = true
      }
      tell()
    },

    async cancel(task, grace_s) {
      cancels.push({ task_id: task.id, grace_s })
    },

    async page(taskId, after, limit) {
      const { lines, finished } = logOf(taskId)
      return { lines: lines.slice(after, after + limit), finished: finished && after + limit >= lines.length }
    },

    async *follow(taskId, { after, deltas, signal }) {
      const log = logOf(taskId)
      const follower: Follower = { deltas: [] }
      log.followers.add(follower)
      tell()
      try {
        let at = after
        while (!signal.aborted) {
          // By cursor: a slow reader needs no buffer.
          const lines = log.lines.slice(at, at + maxBatch)
          const received = follower.deltas.splice(0)
          const batch: LogItem[] = deltas ? [...received, ...lines] : lines
          at += lines.length
          if (batch.length > 0) yield batch
          else if (log.finished) return
          else await change(signal)
        }
      } finally {
        log.followers.delete(follower)
        tell()
      }
    },

    async ended(taskId, waitMs, signal) {
      const log = logOf(taskId)
      const over = new AbortController()
      const timer = setTimeout(() => over.abort(), waitMs)
      const either = AbortSignal.any([over.signal, signal])
      while (!log.finished && !either.aborted) await change(either)
      clearTimeout(timer)
      return log.finished
    },
  }
}
