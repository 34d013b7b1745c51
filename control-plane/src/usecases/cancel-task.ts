import { DomainError } from '@rdev/shared/domain/errors'
import { cancelGraceS } from '@rdev/shared/domain/limits'
import { cancel, isTerminal } from '@rdev/shared/domain/task'
import type { Task } from '@rdev/shared/domain/task'
import type { Actor } from '../ports/actor.ts'
import type { Deps } from '../ports/deps.ts'
import { waitUntil } from './later.ts'
import type { Later } from './later.ts'

type Needs = Pick<Deps, 'tasks' | 'clock' | 'log'> & { readonly logs: Pick<Deps['logs'], 'sync' | 'cancel'> }

/**
 * A queued task ends at once. A leased or running task gets a cancel request, which is sent to its attempt. An ended task stays unchanged.
 * Safe to repeat. Throws DomainError NOT_FOUND, and SERVICE_UNAVAILABLE if the request is recorded but did not reach the log.
 */
export async function cancelTask(deps: Needs, id: string, actor: Actor, later: Later): Promise<Task> {
  const changed = await deps.tasks.change(id, actor, (task) => cancel(task, deps.clock.now()))
  if (!changed) throw new DomainError('NOT_FOUND', 'there is no such task')
  const { before, after } = changed

  if (before.status === 'queued') {
    void waitUntil(deps, later, 'task log was not synced', { task_id: id }, () => deps.logs.sync(after))
  } else if (!isTerminal(after.status)) {
    // Await the log: only the log brings the cancel request to the attempt, so an earlier answer could promise what never happens.
    try {
      await deps.logs.cancel(after, cancelGraceS)
    } catch (cause) {
      throw new DomainError('SERVICE_UNAVAILABLE', 'the cancel request is recorded, but it could not be sent to the attempt; repeat it', {
        cause,
      })
    }
  }
  return after
}
