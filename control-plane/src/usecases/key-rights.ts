import { hasScope, mayUseProject } from '@rdev/shared/domain/api-key'
import type { ApiKey, Caller } from '@rdev/shared/domain/api-key'

type Rights = Pick<ApiKey, 'scopes' | 'project_ids' | 'cluster_id'>

/** A caller sees the keys that lie wholly inside its own projects. */
export const maySeeKey = (caller: Caller, key: Rights): boolean =>
  caller.project_ids === null || (key.project_ids !== null && key.project_ids.every((id) => mayUseProject(caller, id)))

/** The scopes of `key` that the caller does not itself have, and so can neither grant nor take away. `admin` may grant all of them. */
export function scopesBeyond(caller: Caller, key: Rights): readonly string[] {
  return key.scopes.filter((scope) => {
    if (caller.scopes.includes('admin')) return false
    return !hasScope(caller, scope) || (scope === 'cluster:connect' && caller.cluster_id !== key.cluster_id)
  })
}
