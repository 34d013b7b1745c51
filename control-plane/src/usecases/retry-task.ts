import { DomainError } from '@rdev/shared/domain/errors'
import { isTerminal } from '@rdev/shared/domain/task'
import type { Task } from '@rdev/shared/domain/task'
import type { KeyActor } from '../ports/actor.ts'
import { createTask } from './create-task.ts'
import type { Later } from './later.ts'
import { getTask } from './wait-for-task.ts'

/** A task that has ended never changes, so trying it again is a new task that asks for the same, at once, and goes on in its session. */
export async function retryTask(deps: Parameters<typeof createTask>[0], actor: KeyActor, id: string, later: Later): Promise<Task> {
  const ended = await getTask(deps, id, actor.project_ids)
  if (!isTerminal(ended.status)) {
    throw new DomainError('CONFLICT', `the task is ${ended.status}; only one that has ended can be done again`)
  }
  return createTask(deps, actor, { ...ended.spec, run_after: null, retry_of: id }, later)
}
