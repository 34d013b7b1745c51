import type { Pod } from '@rdev/shared/domain/pod'
import type { Project, ProjectChange } from '@rdev/shared/domain/project'
import type { Actor, ProjectFilter } from './actor.ts'
import type { Page, PageRequest } from './page.ts'

export interface ProjectStore {
  get(id: string, projects: ProjectFilter): Promise<Project | undefined>
  /** Those of them that there are, in one statement, in no order. */
  getMany(ids: readonly string[], projects: ProjectFilter): Promise<readonly Project[]>
  list(projects: ProjectFilter, page: PageRequest): Promise<Page<Project>>
  /** Registers the cluster and the projects whose pods it reports; a project of another cluster is left alone. Writes only what changed. */
  report(clusterId: string, pods: readonly Pod[]): Promise<void>
  /** Sets what is given; answers the project as it is afterwards, undefined if there is none. Raising or resuming may make tasks claimable. */
  change(id: string, actor: Actor, change: ProjectChange): Promise<Project | undefined>
}
