import { DomainError } from '@rdev/shared/domain/errors'
import type { Project, ProjectChange } from '@rdev/shared/domain/project'
import type { Actor } from '../ports/actor.ts'
import type { Deps } from '../ports/deps.ts'
import { waitUntil } from './later.ts'
import type { Later } from './later.ts'

/**
 * Changes a project, and tells the hub, so that tasks that may run now start at once. Safe to repeat. Throws DomainError NOT_FOUND, and FORBIDDEN
 * if a caller with a list of projects says who may use the pool: tasks there reach those of other projects.
 */
export async function changeProject(
  deps: Pick<Deps, 'projects' | 'hubs' | 'log'>,
  id: string,
  actor: Actor,
  change: ProjectChange,
  later: Later,
): Promise<Project> {
  if (change.allow_pool !== undefined && actor.project_ids !== null) {
    const message = 'only an API key of every project may say whether a project may use the pool, whose workers all projects share'
    throw new DomainError('FORBIDDEN', message, { fields: [{ pointer: '/allow_pool', message }] })
  }
  const project = await deps.projects.change(id, actor, change)
  if (!project) throw new DomainError('NOT_FOUND', 'there is no such project')
  if (!project.paused) void waitUntil(deps, later, 'hub was not poked', { project_id: id }, () => deps.hubs.poke(project.cluster_id))
  return project
}
