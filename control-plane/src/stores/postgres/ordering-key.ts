// What makes tasks of a project stand in line behind each other. Tasks of one turn go one after another, in the order of the queue; the
// claim looks at the head of each turn and at nothing behind it, so that a million tasks that wait for one workspace cost it one look.

import { type TaskSpec, taskTargets } from '@rdev/shared/domain/task'

/**
 * A workspace, else the session that it continues, else the kind of place it waits for: then nothing but a free place holds it up. The
 * first task of a session holds up nobody yet; when another joins the session, or it is tried again, it gets the session's turn.
 */
export function orderingKeyOf(
  { workspace, session_id, target }: Pick<TaskSpec, 'workspace' | 'session_id' | 'target'>,
  newSession: boolean,
): string {
  if (workspace !== null) return `w:${workspace}`
  return session_id !== null && !newSession ? session_id : target
}

/** The turns whose tasks do not wait for each other. */
export const openKeys: readonly string[] = taskTargets
