import type { ApiKey } from '@rdev/shared/domain/api-key'
import type { Actor, ProjectFilter } from './actor.ts'
import type { Page, PageRequest } from './page.ts'

/** A project filter selects the keys whose projects all lie inside it (`liesWithin` of the domain); a key of every project lies in no list. */
export interface KeyStore {
  /** Throws if there is a key with that id or prefix. */
  insert(key: ApiKey, actor: Actor): Promise<void>
  findByPrefix(prefix: string): Promise<ApiKey | undefined>
  get(id: string, projects: ProjectFilter): Promise<ApiKey | undefined>
  /** Newest first. */
  list(projects: ProjectFilter, page: PageRequest): Promise<Page<ApiKey>>
  /** Sets `revoked_at` if it is not set. Answers the key afterwards; undefined if there is none inside the actor's projects. */
  revoke(id: string, actor: Actor, now: number): Promise<ApiKey | undefined>
}
