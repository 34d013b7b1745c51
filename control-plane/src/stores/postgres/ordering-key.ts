// What makes tasks of a project wait for each other. Tasks of one ordering key go one after another, in the order of the queue; the claim
// looks at the head of each key and at nothing behind it, so that a million tasks that wait for one workspace cost it one look. The column
// is `turn`.

import { type TaskSpec, taskTargets } from '@rdev/shared/domain/task'

/**
 * A workspace, else the session that it continues, else the target whose slots it waits for: then nothing but a free slot holds it up. The
 * first task of a session holds up nobody yet; when another joins the session, or it is tried again, it gets the session's key.
 */
export function orderingKeyOf(
  { workspace, session_id, target }: Pick<TaskSpec, 'workspace' | 'session_id' | 'target'>,
  newSession: boolean,
): string {
  if (workspace !== null) return `w:${workspace}`
  return session_id !== null && !newSession ? session_id : target
}

/** The keys whose tasks do not wait for each other. */
export const openKeys: readonly string[] = taskTargets
