import type { ApiKey } from '@rdev/shared/domain/api-key'
import type { Actor, ProjectFilter } from './actor.ts'
import type { Page, PageRequest } from './page.ts'

/** A project filter selects the keys whose projects all lie inside it (`liesWithin` of the domain); a key of every project lies in no list. */
export interface KeyStore {
  /** Throws if there is a key with that id or prefix, and DomainError KEY_REVOKED if the key that makes it (`created_by`) was revoked. */
  insert(key: ApiKey, actor: Actor): Promise<void>
  findByPrefix(prefix: string): Promise<ApiKey | undefined>
  get(id: string, projects: ProjectFilter): Promise<ApiKey | undefined>
  /** Newest first. */
  list(projects: ProjectFilter, page: PageRequest): Promise<Page<ApiKey>>
  /** Sets `revoked_at` if it is not set. Answers the key afterwards; undefined if there is none inside the actor's projects. */
  revoke(id: string, actor: Actor, now: number): Promise<ApiKey | undefined>
  /**
   * The valid keys that this one made, itself or through keys that it made, valid or not, inside these projects. Newest first, at
   * most 200.
   */
  madeBy(id: string, projects: ProjectFilter, now: number): Promise<readonly ApiKey[]>
  /** Revokes all that this key made, itself or through others, inside the actor's projects. Answers what it changed. */
  revokeMadeBy(id: string, actor: Actor, now: number): Promise<readonly ApiKey[]>
}
