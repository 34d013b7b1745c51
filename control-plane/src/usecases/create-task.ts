import { mayUseProject } from '@rdev/shared/domain/api-key'
import type { Caller } from '@rdev/shared/domain/api-key'
import { DomainError } from '@rdev/shared/domain/errors'
import { newId } from '@rdev/shared/domain/ids'
import type { Task, TaskSpec } from '@rdev/shared/domain/task'
import type { Deps } from '../ports.ts'
import { tellLater } from './later.ts'
import type { Later } from './later.ts'

type Needs = Pick<Deps, 'tasks' | 'sessions' | 'projects' | 'hubs' | 'clock' | 'random' | 'log' | 'providers'>

/**
 * One statement on the usual way: the insert itself finds out whether the project exists. Project and session are only read
 * where the request leans on them.
 */
export async function createTask(deps: Needs, caller: Caller, asked: TaskSpec, later: Later): Promise<Task> {
  checkSpec(deps, asked)
  if (!mayUseProject(caller, asked.project_id)) throw noSuchProject(asked.project_id)
  if (asked.permission_mode === 'bypassPermissions') await checkBypass(deps, caller, asked.project_id)
  if (asked.session_id !== null) await checkSession(deps, caller, asked)

  const now = deps.clock.now()
  const newSession = asked.kind === 'agent' && asked.session_id === null
  const spec = newSession ? { ...asked, session_id: newId('session', now, deps.random.bytes(10)) } : asked
  const id = newId('task', now, deps.random.bytes(10))
  const [inserted] = await deps.tasks.insert([
    { id, spec, created_by: caller.key_id, created_at: now, new_session: newSession, retry_of: null },
  ])
  if (!inserted || 'refused' in inserted) throw noSuchProject(asked.project_id)
  const { task } = inserted

  // The row is the truth; this only makes it fast. The log is begun by whoever needs it first: the hub at the lease, or a reader.
  tellLater(deps, later, 'hub was not poked', id, () => deps.hubs.poke(task.cluster_id))
  return task
}

const noSuchProject = (id: string) => new DomainError('NOT_FOUND', `there is no project ${id}`)

function checkSpec({ providers }: Pick<Deps, 'providers'>, spec: TaskSpec): void {
  if (spec.provider !== null && !providers.includes(spec.provider)) {
    throw invalid('provider', `${spec.provider} is not offered here`)
  }
  const dir = spec.working_dir
  if (dir !== null && (dir.startsWith('/') || dir.split('/').includes('..'))) {
    throw invalid('working_dir', 'working_dir is relative to the project and must stay inside it')
  }
}

const invalid = (field: string, message: string) => new DomainError('BAD_REQUEST', message, { fields: [{ pointer: `/${field}`, message }] })

async function checkBypass({ projects }: Pick<Deps, 'projects'>, caller: Caller, projectId: string): Promise<void> {
  const project = await projects.get(projectId, caller.project_ids)
  if (!project) throw noSuchProject(projectId)
  if (project.allow_bypass_permissions) return
  const message = `project ${projectId} does not allow permission_mode bypassPermissions`
  throw new DomainError('FORBIDDEN', message, { fields: [{ pointer: '/permission_mode', message }] })
}

async function checkSession({ sessions }: Pick<Deps, 'sessions'>, caller: Caller, spec: TaskSpec): Promise<void> {
  const session = await sessions.get(spec.session_id!, caller.project_ids)
  const refuse = (code: 'NOT_FOUND' | 'CONFLICT', message: string) =>
    new DomainError(code, message, { fields: [{ pointer: '/session_id', message }] })
  if (!session) throw refuse('NOT_FOUND', `there is no session ${spec.session_id}`)
  if (session.project_id !== spec.project_id) {
    throw refuse('CONFLICT', `the session belongs to project ${session.project_id}; a session stays in its project`)
  }
  if (session.provider !== spec.provider) {
    throw refuse('CONFLICT', `the session belongs to provider ${session.provider}; say so in "provider" to continue it`)
  }
}
