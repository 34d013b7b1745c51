import type { AttemptRef } from '@rdev/shared/domain/attempt'
import { fullJitter } from '@rdev/shared/domain/backoff'
import { mayRetry, retryClassOf } from '@rdev/shared/domain/task'
import type { Task, TaskOutcome } from '@rdev/shared/domain/task'
import type { Deps } from '../ports/deps.ts'

/** The longest wait for a provider's limit to reset; a later time is taken as this one. */
const maxResetMs = 7 * 24 * 60 * 60 * 1000
/** The random spread after a reset: one limit stops all tasks of a provider's key, and they must not all come back at once. */
const resetSpreadMs = 30_000

type Needs = Pick<Deps, 'tasks' | 'dispatch' | 'hubs' | 'clock' | 'random' | 'log'>

/**
 * Writes how an attempt ended: the row becomes terminal, or queued again if the task's retry policy says so. Answers the row afterwards,
 * changed or not; undefined if there is none. Fenced and safe to repeat; throws only what the store throws.
 */
export async function finishTask(deps: Needs, ref: AttemptRef, end: TaskOutcome): Promise<Task | undefined> {
  const after = await deps.dispatch.finish(ref, end, await retryAt(deps, ref, end))
  if (after?.status === 'queued') {
    // A hint, so a failure is only logged: the hub also finds queued rows by its own alarm.
    try {
      await deps.hubs.poke(after.cluster_id)
    } catch (error) {
      deps.log('warn', 'hub was not poked', { task_id: ref.task_id, attempt: ref.attempt, error: String(error) })
    }
  }
  return after
}

/** When the task is tried again; null: not. Reads the row only for outcomes that a policy could retry, so a success costs one statement. */
async function retryAt({ tasks, clock, random }: Needs, ref: AttemptRef, end: TaskOutcome): Promise<number | null> {
  if (retryClassOf(end) === null) return null
  const task = await tasks.get(ref.task_id, null)
  if (!task || task.attempt !== ref.attempt || !mayRetry(task, end)) return null
  const now = clock.now()
  const soonest = now + fullJitter(ref.attempt - 1, random.chance())
  if (retryClassOf(end) !== 'rate_limited' || end.resets_at === null) return soonest
  return Math.max(soonest, Math.min(end.resets_at, now + maxResetMs) + Math.floor(random.chance() * resetSpreadMs))
}
