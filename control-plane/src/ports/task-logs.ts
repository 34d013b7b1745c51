import type { Task } from '@rdev/shared/domain/task'

/** One stored event in its one encoding, shared by all readers and all formats. */
export interface LogEntry {
  readonly seq: number
  readonly type: string
  readonly json: string
}

export type LogItem = LogEntry | { readonly seq: null; readonly type: 'message.delta'; readonly json: string }

export interface TaskLogs {
  /** Adds to the log what the row says: `task.queued`, `task.leased` of its attempt, `task.finished` of an ended task. Safe to repeat. */
  sync(task: Task): Promise<void>
  /** Sends the cancel request to the attempt's line, now or when it next connects. The row must have been written before. */
  cancel(task: Task, graceS: number): Promise<void>
  /**
   * Stored events after `after`, at most `limit`; fewer where they are large, none only at the end. `finished`: the log is complete, and
   * nothing follows these events (or `after`, where there are none).
   */
  page(taskId: string, after: number, limit: number): Promise<{ lines: readonly LogEntry[]; finished: boolean }>
  /** All events after `after`, in order, live, in batches. Ends after `task.finished`, or when `signal` aborts. Fetches only what is consumed. */
  follow(taskId: string, options: { after: number; deltas: boolean; signal: AbortSignal }): AsyncIterable<readonly LogItem[]>
  /** Resolves to true as soon as `task.finished` is in the log, to false after `waitMs`. */
  ended(taskId: string, waitMs: number, signal: AbortSignal): Promise<boolean>
}
