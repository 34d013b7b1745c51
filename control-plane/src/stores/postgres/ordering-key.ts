// The ordering key makes tasks of a project wait for each other: tasks with the same key run one after another, in the order of the queue.
// The claim looks only at the head of each key, so a million tasks that wait for one workspace cost it one look. The column is named `turn`.

import { type TaskSpec, taskTargets } from '@rdev/shared/domain/task'

/**
 * The key is the task's workspace, else the session that it continues, else its target; with a target as key the task waits only for a free
 * slot. The first task of a session blocks no other yet: when another task joins the session, or the first is tried again, it gets the
 * session's key.
 */
export function orderingKeyOf(
  { workspace, session_id, target }: Pick<TaskSpec, 'workspace' | 'session_id' | 'target'>,
  newSession: boolean,
): string {
  if (workspace !== null) return `w:${workspace}`
  return session_id !== null && !newSession ? session_id : target
}

/** The open keys: their tasks do not wait for each other. */
export const openKeys: readonly string[] = taskTargets
