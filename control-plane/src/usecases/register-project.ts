import { DomainError } from '@rdev/shared/domain/errors'
import type { Project } from '@rdev/shared/domain/project'
import type { Actor } from '../ports/actor.ts'
import type { Deps } from '../ports/deps.ts'
import { changeProject } from './change-project.ts'
import { waitUntil, type Later } from './later.ts'

/**
 * An operator says which cluster a project belongs to, and whether it may use the pool; left out: as it is. Safe to repeat. Throws DomainError
 * CONFLICT if it belongs to another cluster.
 */
export async function registerProject(
  deps: Pick<Deps, 'projects' | 'hubs' | 'log'>,
  { id, cluster_id, allow_pool }: Pick<Project, 'id' | 'cluster_id'> & { readonly allow_pool?: boolean | undefined },
  actor: Actor,
  later: Later,
): Promise<Project> {
  const project = await deps.projects.register(id, cluster_id, actor)
  if (project.cluster_id !== cluster_id) throw new DomainError('CONFLICT', `project ${id} belongs to another cluster`)
  // Its pod may be there already: the agent is asked to say so again.
  void waitUntil(deps, later, 'hub was not told of a project', { project_id: id }, () => deps.hubs.projectRegistered(cluster_id))
  return allow_pool === undefined || allow_pool === project.allow_pool ? project : changeProject(deps, id, actor, { allow_pool }, later)
}
