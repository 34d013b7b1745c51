import { fullJitter } from '@rdev/shared/domain/backoff'
import { mayRetry, retryClassOf } from '@rdev/shared/domain/task'
import type { Task, TaskOutcome } from '@rdev/shared/domain/task'
import type { Deps } from '../ports/deps.ts'
import type { AttemptRef } from '../ports/dispatch-store.ts'

/** A provider's limits reset within a week; what claims more is tried then. */
const maxResetMs = 7 * 24 * 60 * 60 * 1000
/** All tasks of a key were stopped by the same limit: they come back one after the other. */
const resetSpreadMs = 30_000

type Needs = Pick<Deps, 'tasks' | 'dispatch' | 'hubs' | 'clock' | 'random' | 'log'>

/**
 * Writes how an attempt ended: the row becomes terminal, or queued again where the task's policy wants that. Answers the row as
 * it is afterwards, whoever wrote it; undefined if there is none. Fenced and safe to repeat; throws only if the store does.
 */
export async function finishTask(deps: Needs, ref: AttemptRef, end: TaskOutcome): Promise<Task | undefined> {
  const after = await deps.dispatch.finish(ref, end, await retryAt(deps, ref, end))
  if (after?.status === 'queued') {
    // Only a hint: the hub learns of a queued row by its own alarm too.
    try {
      await deps.hubs.poke(after.cluster_id)
    } catch (error) {
      deps.log('warn', 'hub was not poked', { task_id: ref.task_id, attempt: ref.attempt, error: String(error) })
    }
  }
  return after
}

/** The row is read only for an outcome that some policy could retry; a success costs one statement. */
async function retryAt({ tasks, clock, random }: Needs, ref: AttemptRef, end: TaskOutcome): Promise<number | null> {
  if (retryClassOf(end) === null) return null
  const task = await tasks.get(ref.task_id, null)
  if (!task || task.attempt !== ref.attempt || !mayRetry(task, end)) return null
  const now = clock.now()
  const soonest = now + fullJitter(ref.attempt - 1, random.chance())
  if (retryClassOf(end) !== 'rate_limited' || end.resets_at === null) return soonest
  return Math.max(soonest, Math.min(end.resets_at, now + maxResetMs) + Math.floor(random.chance() * resetSpreadMs))
}
