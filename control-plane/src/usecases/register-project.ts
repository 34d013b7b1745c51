import { DomainError } from '@rdev/shared/domain/errors'
import type { Project } from '@rdev/shared/domain/project'
import type { Actor } from '../ports/actor.ts'
import type { Deps } from '../ports/deps.ts'
import { waitUntil, type Later } from './later.ts'

/** An operator says which cluster a project belongs to. Safe to repeat. Throws DomainError CONFLICT if it belongs to another. */
export async function registerProject(
  deps: Pick<Deps, 'projects' | 'hubs' | 'log'>,
  { id, cluster_id }: Pick<Project, 'id' | 'cluster_id'>,
  actor: Actor,
  later: Later,
): Promise<Project> {
  const project = await deps.projects.register(id, cluster_id, actor)
  if (project.cluster_id !== cluster_id) throw new DomainError('CONFLICT', `project ${id} belongs to another cluster`)
  // Its pod may be there already: the agent is asked to say so again.
  void waitUntil(deps, later, 'hub was not told of a project', { project_id: id }, () => deps.hubs.projectRegistered(cluster_id))
  return project
}
