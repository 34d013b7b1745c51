import type { Session } from '@rdev/shared/domain/session'
import type { ProjectFilter } from './actor.ts'
import type { Page, PageRequest } from './page.ts'

export interface SessionStore {
  get(id: string, projects: ProjectFilter): Promise<Session | undefined>
  /** The sessions that exist, in no order; one statement. */
  getMany(ids: readonly string[], projects: ProjectFilter): Promise<readonly Session[]>
  list(filter: { projects: ProjectFilter; project_id?: string }, page: PageRequest): Promise<Page<Session>>
}
