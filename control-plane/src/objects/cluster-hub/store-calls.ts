// The calls to stores and logs that a cluster's hub makes for its machine.

import { speaksFor } from '@rdev/shared/domain/api-key'
import { cancel, isTerminal, outcome } from '@rdev/shared/domain/task'
import type { Task, TaskOutcome } from '@rdev/shared/domain/task'
import { systemActor } from '../../ports/actor.ts'
import type { Deps } from '../../ports/deps.ts'
import type { HubInput, Write } from './state.ts'

export interface HubLogs extends Pick<Deps['logs'], 'sync'> {
  /** Whether the log holds anything of the row's attempt: an event, or its result. */
  received(task: Task): Promise<boolean>
  /** Closes the task's line if it was opened with this key. */
  keyRevoked(task: Task, keyId: string): Promise<void>
  /** Ends the attempt with this outcome, unless its log holds a result already: it will report nothing more. */
  end(task: Task, outcome: TaskOutcome): Promise<void>
}

/** Fails tasks past their queue deadline, and answers whether tasks wait; with `pods`, also for which other pods tasks wait. */
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

/** Whether the key still speaks for the cluster: read anew, because it may have been revoked a moment ago. */
export const isKeyValid = async ({ keys, clock }: Pick<Deps, 'keys' | 'clock'>, clusterId: string, keyId: string): Promise<boolean> =>
  speaksFor(await keys.get(keyId, null), clusterId, clock.now())

/** Answers the rows that it changed, where the kind of write answers any. Safe to repeat. Throws what the store or log throws. */
export async function carryOut(
  deps: Pick<Deps, 'tasks' | 'dispatch' | 'projects' | 'keys' | 'clock'> & { readonly logs: HubLogs },
  clusterId: string,
  write: Write,
): Promise<readonly Task[]> {
  const { tasks, dispatch, projects, logs, clock } = deps
  switch (write.kind) {
    case 'report': {
      const key = await deps.keys.get(write.key_id, null)
      if (key !== undefined && speaksFor(key, clusterId, clock.now())) await projects.report(clusterId, write.pods, key.cluster_project_ids)
      return []
    }
    case 'mark_started':
      await dispatch.markStarted(write.started)
      return []
    case 'fail': {
      const { task, outcome } = write
      if (await logs.received(task)) {
        await logs.end(task, outcome)
        return []
      }
      // No policy retries this: it failed to start too often, or for a reason that stays.
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
