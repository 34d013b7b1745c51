import type { Pod } from '@rdev/shared/domain/pod'
import type { Project, ProjectChange } from '@rdev/shared/domain/project'
import type { Actor, ProjectFilter } from './actor.ts'
import type { Page, PageRequest } from './page.ts'

export interface ProjectStore {
  get(id: string, projects: ProjectFilter): Promise<Project | undefined>
  /** The projects that exist, in no order; one statement. */
  getMany(ids: readonly string[], projects: ProjectFilter): Promise<readonly Project[]>
  list(projects: ProjectFilter, page: PageRequest): Promise<Page<Project>>
  /**
   * Registers the cluster, and of the pods' projects those in `mayRegister`; other projects that nobody has registered are left out, and so is
   * a pod whose project's id is none. A project of another cluster stays unchanged. Writes only changes.
   */
  report(clusterId: string, pods: readonly Pod[], mayRegister: readonly string[]): Promise<void>
  /** Registers the project for the cluster, and the cluster. A project that is there keeps its cluster, and is answered as it is. */
  register(id: string, clusterId: string, actor: Actor): Promise<Project>
  /** Sets the given fields. Answers the project afterwards; undefined if there is none. The change may make tasks claimable. */
  change(id: string, actor: Actor, change: ProjectChange): Promise<Project | undefined>
}
