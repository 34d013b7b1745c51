import { DomainError } from '@rdev/shared/domain/errors'
import { cancelGraceS } from '@rdev/shared/domain/limits'
import { cancel, isTerminal } from '@rdev/shared/domain/task'
import type { Task } from '@rdev/shared/domain/task'
import type { Actor } from '../ports/actor.ts'
import type { Deps } from '../ports/deps.ts'
import { waitUntil } from './later.ts'
import type { Later } from './later.ts'

type Needs = Pick<Deps, 'tasks' | 'clock' | 'log'> & { readonly logs: Pick<Deps['logs'], 'sync' | 'cancel'> }

/** Queued: final at once. Leased or running: the cancel request is kept and told to the attempt. Ended: unchanged. Safe to repeat. */
export async function cancelTask(deps: Needs, id: string, actor: Actor, later: Later): Promise<Task> {
  const changed = await deps.tasks.change(id, actor, (task) => cancel(task, deps.clock.now()))
  if (!changed) throw new DomainError('NOT_FOUND', 'there is no such task')
  const { before, after } = changed

  if (before.status === 'queued') {
    void waitUntil(deps, later, 'task log was not synced', { task_id: id }, () => deps.logs.sync(after))
  } else if (!isTerminal(after.status)) {
    // Waited for: only the log can carry the request to the attempt, so an answer before it was stored there could be an empty promise.
    try {
      await deps.logs.cancel(after, cancelGraceS)
    } catch (cause) {
      throw new DomainError('SERVICE_UNAVAILABLE', 'the cancel was noted but could not be passed on; repeat it', { cause })
    }
  }
  return after
}
