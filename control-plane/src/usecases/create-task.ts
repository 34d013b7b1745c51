// Queues one or many tasks: each is accepted or refused on its own. What the checks need is read once for all of them.

import { mayUseProject } from '@rdev/shared/domain/api-key'
import { DomainError } from '@rdev/shared/domain/errors'
import type { ErrorCode } from '@rdev/shared/domain/errors'
import { newId } from '@rdev/shared/domain/ids'
import type { Project } from '@rdev/shared/domain/project'
import type { Session } from '@rdev/shared/domain/session'
import { defaultWorkspace, maxRunAfterDays } from '@rdev/shared/domain/task'
import type { AskedTask, Task, TaskSpec } from '@rdev/shared/domain/task'
import type { KeyActor } from '../ports/actor.ts'
import type { Deps } from '../ports/deps.ts'
import type { Inserted, NewTask } from '../ports/task-store.ts'
import { waitUntil, within } from './later.ts'
import type { Later } from './later.ts'

/** How long an answer waits for the poke at most. */
const maxPokeWaitMs = 1_000

type Needs = Pick<Deps, 'tasks' | 'sessions' | 'projects' | 'hubs' | 'clock' | 'random' | 'log' | 'providers'>

export async function createTask(deps: Needs, actor: KeyActor, asked: AskedTask, later: Later): Promise<Task> {
  const [made] = await createTasks(deps, actor, [asked], later)
  if (!made || made instanceof DomainError) throw made ?? new Error('one task was asked for, and none was answered')
  return made
}

/** Answers in the tasks' order. One statement inserts all accepted tasks, and finds out whether their projects exist. */
export async function createTasks(
  deps: Needs,
  actor: KeyActor,
  asked: readonly AskedTask[],
  later: Later,
): Promise<readonly (Task | DomainError)[]> {
  const now = deps.clock.now()
  // Make the ids before any check, so that a repeated request makes the same ids. Sort them, because the queue orders tasks of the same
  // instant by id.
  const ids = asked.map(() => newId('task', now, deps.random.bytes(10))).sort()
  const sessionIds = asked.map(() => newId('session', now, deps.random.bytes(10)))

  const known = await readKnown(deps, actor, asked)
  const settled = asked.map((spec, i): NewTask | DomainError => {
    const workspace = checked(deps, actor, spec, known, now)
    if (workspace instanceof DomainError) return workspace
    const { retry_of = null, ...rest } = spec
    const newSession = spec.kind === 'agent' && spec.session_id === null
    // A time in the past means at once, and it may be too far back for Postgres.
    const run_after = spec.run_after !== null && spec.run_after > now ? spec.run_after : null
    const whole = { ...rest, workspace, run_after, ...(newSession && { session_id: sessionIds[i]! }) }
    return { id: ids[i]!, spec: whole, actor, created_at: now, new_session: newSession, retry_of }
  })

  const accepted = settled.filter((one): one is NewTask => !(one instanceof DomainError))
  const inserted = accepted.length === 0 ? [] : await inserting(deps, accepted, later)
  const byId = new Map(accepted.map(({ id }, i) => [id, inserted[i]!]))
  const made = settled.map((one) => (one instanceof DomainError ? one : taskOf(one.spec, byId.get(one.id)!)))

  // The log is not synced here: the first that needs it does that, the hub at the lease or a reader.
  const clusters = new Map(made.flatMap((one) => (one instanceof DomainError ? [] : [[one.cluster_id, one.id]])))
  const poked = [...clusters].map(([clusterId, taskId]) =>
    waitUntil(deps, later, 'hub was not poked', { task_id: taskId }, () => deps.hubs.poke(clusterId)),
  )
  // Await the poke before the answer: in an idle system nothing else tells the hub, so if this program died in between, an accepted task
  // would wait until the next one is queued. If the hub cannot be reached now, later pokes and its agent's `hello` tell it.
  await within(maxPokeWaitMs, Promise.all(poked))
  return made
}

/** Other requests may wait for the statement that this request runs, so it goes on if this client disconnects. */
function inserting({ tasks }: Needs, accepted: readonly NewTask[], later: Later): Promise<readonly Inserted[]> {
  const inserted = tasks.insert(accepted)
  const settled = () => {}
  later(inserted.then(settled, settled))
  return inserted
}

/** What the checks of a request need; nothing else is read. */
interface Known {
  readonly sessions: ReadonlyMap<string, Session>
  readonly projects: ReadonlyMap<string, Project>
}

async function readKnown({ sessions, projects }: Needs, actor: KeyActor, asked: readonly AskedTask[]): Promise<Known> {
  const sessionIds = [...new Set(asked.flatMap(({ session_id }) => session_id ?? []))]
  const projectIds = [...new Set(asked.filter(asksForBypass).map(({ project_id }) => project_id))]
  const [foundSessions, foundProjects] = await Promise.all([
    sessionIds.length === 0 ? [] : sessions.getMany(sessionIds, actor.project_ids),
    projectIds.length === 0 ? [] : projects.getMany(projectIds, actor.project_ids),
  ])
  return {
    sessions: new Map(foundSessions.map((session) => [session.id, session])),
    projects: new Map(foundProjects.map((project) => [project.id, project])),
  }
}

const asksForBypass = (asked: AskedTask): boolean => asked.permission_mode === 'bypassPermissions'

/** The workspace that the task gets, or the error that refuses it. */
function checked(deps: Needs, actor: KeyActor, asked: AskedTask, known: Known, now: number): string | null | DomainError {
  const { provider, working_dir: dir, run_after, queue_ttl_s, project_id, session_id } = asked
  if (provider !== null && !deps.providers.includes(provider)) {
    return refuse('BAD_REQUEST', 'provider', `${provider} is not offered here`)
  }
  if (dir !== null && (dir.startsWith('/') || dir.split('/').includes('..'))) {
    return refuse('BAD_REQUEST', 'working_dir', 'working_dir is relative to the workspace and must stay inside it')
  }
  if (run_after !== null && run_after > now + maxRunAfterDays * 86_400_000) {
    return refuse('BAD_REQUEST', 'run_after', `run_after is at most ${maxRunAfterDays} days ahead`)
  }
  if (run_after !== null && queue_ttl_s !== null && run_after >= now + queue_ttl_s * 1000) {
    return refuse('BAD_REQUEST', 'queue_ttl_s', 'the task would expire in the queue before its run_after')
  }
  if (!mayUseProject(actor, project_id)) return noSuchProject(project_id)
  if (asksForBypass(asked)) {
    const project = known.projects.get(project_id)
    if (!project) return noSuchProject(project_id)
    if (!project.allow_bypass_permissions) {
      return refuse('FORBIDDEN', 'permission_mode', `project ${project_id} does not allow permission_mode bypassPermissions`)
    }
  }
  if (session_id !== null) return checkedSession(asked, known.sessions.get(session_id))
  return asked.workspace === undefined ? defaultWorkspace(asked.target) : asked.workspace
}

function checkedSession(asked: AskedTask, session: Session | undefined): string | null | DomainError {
  if (!session) return noSuchSession(asked.session_id)
  if (session.project_id !== asked.project_id) {
    return refuse('CONFLICT', 'session_id', `the session belongs to project ${session.project_id}; a session stays in its project`)
  }
  if (session.provider !== asked.provider) {
    return refuse('CONFLICT', 'session_id', `the session belongs to provider ${session.provider}; say so in "provider" to continue it`)
  }
  if (asked.workspace !== undefined && asked.workspace !== session.workspace) {
    const its = session.workspace === null ? 'holds no workspace' : `lives in workspace ${session.workspace}`
    return refuse('CONFLICT', 'workspace', `the session ${its}; leave "workspace" out to continue it there`)
  }
  return session.workspace
}

function taskOf(spec: TaskSpec, inserted: Inserted): Task | DomainError {
  if (!('refused' in inserted)) return inserted.task
  switch (inserted.refused) {
    case 'no_project':
      return noSuchProject(spec.project_id)
    case 'no_session':
      return noSuchSession(spec.session_id)
    case 'no_pool':
      return refuse('FORBIDDEN', 'target', `project ${spec.project_id} may not use the pool: it has no allow_pool`)
    case 'queue_full':
      return new DomainError('TOO_MANY_REQUESTS', `project ${spec.project_id} has as many tasks queued as it may: its max_queued`, {
        retryAfterS: 5,
      })
  }
}

const noSuchProject = (id: string) => new DomainError('NOT_FOUND', `there is no project ${id}`)
const noSuchSession = (id: string | null) => refuse('NOT_FOUND', 'session_id', `there is no session ${id}`)

const refuse = (code: ErrorCode, field: string, message: string) =>
  new DomainError(code, message, { fields: [{ pointer: `/${field}`, message }] })
