import type { Task } from '@rdev/shared/domain/task'

/** One stored event in its one encoding, shared by all readers and all formats. */
export interface LogEntry {
  readonly seq: number
  readonly type: string
  readonly json: string
}

export type LogItem = LogEntry | { readonly seq: null; readonly type: 'message.delta'; readonly json: string }

export interface TaskLogs {
  /** Brings the log up to what the row says: `task.queued`, `task.leased` of its attempt, `task.finished` of an ended task. Repeating is harmless. */
  sync(task: Task): Promise<void>
  /** Wants the attempt cancelled; told to its line now, or when it next connects. The row was written before. */
  cancel(task: Task, graceS: number): Promise<void>
  /**
   * Stored events after `after`, at most `limit` (fewer where they are large, none only at the end). `finished` when the log is complete
   * and nothing follows them; so also when there are none after `after`.
   */
  page(taskId: string, after: number, limit: number): Promise<{ lines: readonly LogEntry[]; finished: boolean }>
  /** Everything after `after`, in order, live, in batches; ends after `task.finished`, or when `signal` aborts. The reader's pace is kept. */
  follow(taskId: string, options: { after: number; deltas: boolean; signal: AbortSignal }): AsyncIterable<readonly LogItem[]>
  /** True as soon as `task.finished` is in the log, false after `waitMs`. */
  ended(taskId: string, waitMs: number, signal: AbortSignal): Promise<boolean>
}
