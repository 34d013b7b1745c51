// What a cluster's hub asks of the stores and logs for its machine, without the object round it: the object and the simulator both ask so.

import { cancel, isTerminal, outcome } from '@rdev/shared/domain/task'
import type { Task, TaskOutcome } from '@rdev/shared/domain/task'
import { systemActor } from '../../ports/actor.ts'
import type { Deps } from '../../ports/deps.ts'
import type { HubInput, Write } from './state.ts'

export interface HubLogs extends Pick<Deps['logs'], 'sync'> {
  /** Whether the log holds anything of the row's attempt: an event, or its result. */
  received(task: Task): Promise<boolean>
  /** The attempt will report nothing more and ended so, unless its log holds a result already. */
  end(task: Task, outcome: TaskOutcome): Promise<void>
}

/** Fails what waited too long, and tells what waits; with `pods`, also what waits for none of them. */
export async function inspectQueue(dispatch: Deps['dispatch'], clusterId: string, pods: readonly string[] | null): Promise<HubInput> {
  let due = await dispatch.nextDue(clusterId)
  let expired: readonly Task[] = []
  if (due.queued) {
    expired = await dispatch.expireQueued(clusterId)
    if (expired.length > 0) due = await dispatch.nextDue(clusterId)
  }
  const missing = pods !== null && due.queued ? await dispatch.missingPods(clusterId, pods) : null
  return { type: 'queue_inspected', expired, queued: due.queued, next_at: due.next_at, missing }
}

/** Answers the rows that it changed, where there can be any. Safe to repeat. */
export async function carryOut(
  { tasks, dispatch, projects, logs, clock }: Pick<Deps, 'tasks' | 'dispatch' | 'projects' | 'clock'> & { readonly logs: HubLogs },
  clusterId: string,
  write: Write,
): Promise<readonly Task[]> {
  switch (write.kind) {
    case 'report':
      await projects.report(clusterId, write.pods)
      return []
    case 'mark_started':
      await dispatch.markStarted(write.started)
      return []
    case 'fail': {
      const { task, outcome } = write
      if (await logs.received(task)) {
        await logs.end(task, outcome)
        return []
      }
      // Too often for any policy, or for a reason that no policy retries.
      const fence = { clusterId, generation: write.generation }
      const after = await dispatch.finish({ task_id: task.id, attempt: task.attempt }, outcome, null, fence)
      return after !== undefined && isTerminal(after.status) ? [after] : []
    }
    case 'requeue':
      if (write.doubted !== null && (await logs.received(write.doubted))) {
        await logs.end(write.doubted, outcome('lost', { error_code: 'LOST', error: 'its pod is gone' }))
        return []
      }
      return dispatch.requeue([write.ref], write.run_after, { clusterId, generation: write.generation })
    case 'fail_missing_pods':
      return dispatch.failMissingPods(clusterId, write.pods)
    case 'end':
      await logs.end(write.task, write.outcome)
      return []
    case 'cancel_queued': {
      const changed = await tasks.change(write.task_id, systemActor('cluster-hub'), (task) =>
        task.status === 'queued' ? cancel(task, clock.now()) : task,
      )
      if (changed) await logs.sync(changed.after)
      return []
    }
  }
}
