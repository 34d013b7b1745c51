// Reading a task's log. The log can lag behind the row only where a hint to it was lost; a reader that notices brings it up.

import { isTerminal } from '@rdev/shared/domain/task'
import type { Task } from '@rdev/shared/domain/task'
import type { Deps } from '../ports/deps.ts'
import type { LogItem, LogEntry } from '../ports/task-logs.ts'

type Needs = Pick<Deps, 'logs' | 'log'>

/** Events after `after`, at most `limit`; `finished` when nothing will ever follow them. */
export async function readLog(
  { logs }: Pick<Deps, 'logs'>,
  task: Task,
  after: number,
  limit: number,
): Promise<{ lines: readonly LogEntry[]; finished: boolean }> {
  const page = await logs.page(task.id, after, limit)
  if (page.lines.length > 0 || page.finished) return page
  // Nothing there: either nothing is to be expected, or the log has not heard of the task, or not of its end.
  if (after > 0 && !isTerminal(task.status)) return page
  await logs.sync(task)
  return logs.page(task.id, after, limit)
}

/**
 * Everything after `after`, live; ends after `task.finished` or when `signal` aborts. Returns true where the log is complete, which a
 * reader that has `task.finished` already cannot see otherwise.
 */
export async function* followLog(
  deps: Needs,
  task: Task,
  options: { after: number; deltas: boolean; signal: AbortSignal },
): AsyncGenerator<readonly LogItem[], boolean> {
  let after = options.after
  if (isTerminal(task.status)) {
    // An ended task's log is read by pages: its object is not kept by a connection.
    while (!options.signal.aborted) {
      const page = await readLog(deps, task, after, pageEvents)
      if (page.lines.length > 0) yield page.lines
      if (page.finished) return true
      const last = page.lines.at(-1)
      if (!last) break
      after = last.seq
    }
  } else if (after === 0) {
    // Beside the follower, so that looking whether the log knows its task costs the first event nothing.
    void readLog(deps, task, 0, 1).catch((error: unknown) => {
      deps.log('warn', 'task log was not synced', { task_id: task.id, error: String(error) })
    })
  }
  if (!options.signal.aborted) yield* deps.logs.follow(task.id, { ...options, after })
  return !options.signal.aborted
}

const pageEvents = 1000
