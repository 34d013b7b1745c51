import type { Task } from '@rdev/shared/domain/task'
import type { LiveTask } from '../../ports/dispatch-store.ts'
import { rowOf } from './database.ts'
import { tasks } from './schema.ts'

type Raw = Readonly<Record<string, unknown>>
export type TaskRow = typeof tasks.$inferSelect

export function taskOf(row: TaskRow): Task {
  const { project_id: _p, session_id: _s, workspace, kind: _k, target: _t, priority: _r, timeout_s: _o, turn: _u, spec, ...task } = row
  // Specs that were stored before workspaces existed have neither `workspace` nor `run_after`.
  return { ...task, spec: spec.workspace === undefined ? { ...spec, workspace, run_after: null } : spec }
}

export const rawTask = (raw: Raw): Task => taskOf(rowOf(tasks, raw))

export const rawLiveTask = (raw: Raw): LiveTask => ({
  task: rawTask(raw),
  provider_session_id: typeof raw.provider_session_id === 'string' ? raw.provider_session_id : null,
})
