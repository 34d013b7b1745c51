import { DomainError } from '@rdev/shared/domain/errors'
import { isTerminal } from '@rdev/shared/domain/task'
import type { Task } from '@rdev/shared/domain/task'
import type { ProjectFilter } from '../ports/actor.ts'
import type { Deps } from '../ports/deps.ts'

/** The task, as soon as it has ended, or after `waitMs`. Throws DomainError NOT_FOUND. */
export async function waitForTask(
  { tasks, logs }: Pick<Deps, 'tasks' | 'logs'>,
  id: string,
  projects: ProjectFilter,
  waitMs: number,
  signal: AbortSignal,
): Promise<Task> {
  const task = await getTask({ tasks }, id, projects)
  if (waitMs === 0 || isTerminal(task.status)) return task
  await logs.ended(id, waitMs, signal)
  // The row is written before `task.finished` is in the log, so this read shows the end.
  return getTask({ tasks }, id, projects)
}

export async function getTask({ tasks }: Pick<Deps, 'tasks'>, id: string, projects: ProjectFilter): Promise<Task> {
  const task = await tasks.get(id, projects)
  if (!task) throw new DomainError('NOT_FOUND', 'there is no such task')
  return task
}
