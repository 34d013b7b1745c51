// Reads a task's log. The log is behind the row only where a hint to it was lost; then the reader syncs it.

import { isTerminal } from '@rdev/shared/domain/task'
import type { Task } from '@rdev/shared/domain/task'
import type { Deps } from '../ports/deps.ts'
import type { LogItem, LogEntry } from '../ports/task-logs.ts'

type Needs = Pick<Deps, 'logs' | 'log'>

/** Events after `after`, at most `limit`; `finished` if nothing can follow them. */
export async function readLog(
  { logs }: Pick<Deps, 'logs'>,
  task: Task,
  after: number,
  limit: number,
): Promise<{ lines: readonly LogEntry[]; finished: boolean }> {
  const page = await logs.page(task.id, after, limit)
  if (page.lines.length > 0 || page.finished) return page
  // An empty page has three causes: nothing new has happened, or the log does not know the task, or it does not know the task's end.
  if (after > 0 && !isTerminal(task.status)) return page
  await logs.sync(task)
  return logs.page(task.id, after, limit)
}

/**
 * All events after `after`, live. Ends after `task.finished` or when `signal` aborts. Returns true if the log is complete: a reader that has
 * `task.finished` already gets no event that tells it.
 */
export async function* followLog(
  deps: Needs,
  task: Task,
  options: { after: number; deltas: boolean; signal: AbortSignal },
): AsyncGenerator<readonly LogItem[], boolean> {
  let after = options.after
  if (isTerminal(task.status)) {
    // The log of an ended task is read by pages, so that no connection keeps its object in memory.
    while (!options.signal.aborted) {
      const page = await readLog(deps, task, after, pageEvents)
      if (page.lines.length > 0) yield page.lines
      if (page.finished) return true
      const last = page.lines.at(-1)
      if (!last) break
      after = last.seq
    }
  } else if (after === 0) {
    // Check whether the log knows its task at the same time, so that the check does not delay the first event.
    void readLog(deps, task, 0, 1).catch((error: unknown) => {
      deps.log('warn', 'task log was not synced', { task_id: task.id, error: String(error) })
    })
  }
  if (!options.signal.aborted) yield* deps.logs.follow(task.id, { ...options, after })
  return !options.signal.aborted
}

const pageEvents = 1000
