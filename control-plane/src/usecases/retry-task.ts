import { DomainError } from '@rdev/shared/domain/errors'
import { isTerminal } from '@rdev/shared/domain/task'
import type { Task } from '@rdev/shared/domain/task'
import type { KeyActor } from '../ports/actor.ts'
import { createTask } from './create-task.ts'
import type { Later } from './later.ts'
import { getTask } from './wait-for-task.ts'

/**
 * Queues a copy of an ended task, at once and in the same session, because an ended task never changes. Throws DomainError NOT_FOUND or CONFLICT
 * (not ended), and what createTask throws.
 */
export async function retryTask(deps: Parameters<typeof createTask>[0], actor: KeyActor, id: string, later: Later): Promise<Task> {
  const ended = await getTask(deps, id, actor.project_ids)
  if (!isTerminal(ended.status)) {
    throw new DomainError('CONFLICT', `the task is ${ended.status}; only one that has ended can be done again`)
  }
  return createTask(deps, actor, { ...ended.spec, run_after: null, retry_of: id }, later)
}
