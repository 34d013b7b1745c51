// Where an attempt works. A project's pod has the repository at ~/workspace, and a directory for every other working copy that a task names.
// A worker has no repository, so each session (or task without one) gets a directory of its own. The attempt's own script makes them, which
// saves a round trip. A session finds its files again because the name follows from its id.

import type { Assignment, ExitRecord } from '@rdev/shared/domain/attempt'
import type { Pod } from '@rdev/shared/domain/pod'
import { mainWorkspace, workspacePattern } from '@rdev/shared/domain/task'
import { exportAll, quote } from '../sh.ts'

/** Written to stderr as the only output. With the exit code it tells this failure from any other, also after a restart of the agent. */
export const workspaceFailure = 'rdev: the working directory is not there, or not inside of the workspace\n'
const workspaceExitCode = 78

export const isWorkspaceFailure = (record: ExitRecord): boolean =>
  record.reason === 'exited' &&
  record.exit_code === workspaceExitCode &&
  record.stdout_bytes === 0 &&
  record.stderr_bytes === Buffer.byteLength(workspaceFailure)

type Where = Pick<Assignment, 'project_id' | 'session_id' | 'task_id' | 'workspace'>

/** Relative to the pod's home. */
export function workspaceOf(pod: Pick<Pod, 'role'>, { project_id, session_id, task_id, workspace }: Where): string {
  if (pod.role === 'project') return workspace === null || workspace === mainWorkspace ? 'workspace' : `workspaces/${workspace}`
  // A worker serves all projects, so the name has the project's id. Ids of projects, sessions and tasks have no dot, so names do not collide.
  return `workspaces/${workspace === null ? (session_id ?? task_id) : `${project_id}.${workspace}`}`
}

/** The folder that is made if it is missing, and the lock of the working copy. */
export function workspaceNeeds(pod: Pick<Pod, 'role'>, where: Where): { folder: string | undefined; lock: string | undefined } {
  const directory = workspaceOf(pod, where)
  const name = directory.slice(directory.lastIndexOf('/') + 1)
  return {
    folder: directory === 'workspace' ? undefined : directory,
    lock: where.workspace === null ? undefined : directory === 'workspace' ? mainWorkspace : name,
  }
}

/** Undefined if the assignment can run; else the message why not. */
export function invalidWorkspace(assignment: Pick<Assignment, 'env' | 'working_dir' | 'workspace'>): string | undefined {
  if (assignment.workspace !== null && !workspacePattern.test(assignment.workspace)) return 'workspace is not a valid name'
  const dir = assignment.working_dir
  if (dir !== null && (dir.startsWith('/') || dir.split('/').includes('..') || dir.includes('\0'))) {
    return 'working_dir must be relative and stay inside of the workspace'
  }
  for (const [name, value] of Object.entries(assignment.env)) {
    if (!/^[A-Za-z_]\w*$/.test(name)) return 'env has a name that is not a valid variable name'
    if (/^RDEV_(ATTEMPT|HOME)$/.test(name)) return 'env has a name that is reserved'
    if (value.includes('\0')) return 'env has a value with a NUL character'
  }
  return undefined
}

/** sh text that goes before the script of the attempt's process: its directory, then its environment. */
export function prelude(pod: Pick<Pod, 'role'>, assignment: Assignment): string {
  const workspace = quote(workspaceOf(pod, assignment))
  const make = workspaceNeeds(pod, assignment).folder ? `{ [ -d "$HOME"/${workspace} ] || mkdir -p -- "$HOME"/${workspace}; } && ` : ''
  const dir = assignment.working_dir ?? '.'
  // `cd -P` shows the real path, so a link that leads out of the workspace is found. With CDPATH set, cd could go elsewhere and print.
  return `unset CDPATH
{ ${make}cd -P -- "$HOME"/${workspace} && rdev_root=$PWD && cd -P -- ${quote(`./${dir}`)} && case "$PWD/" in "\${rdev_root%/}"/*) ;; *) false ;; esac; } 2>/dev/null || {
  printf '%s' ${quote(workspaceFailure)} >&2
  exit ${workspaceExitCode}
}
unset rdev_root
${exportAll(assignment.env)}`
}
