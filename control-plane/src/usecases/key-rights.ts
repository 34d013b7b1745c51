import { hasScope } from '@rdev/shared/domain/api-key'
import type { ApiKey, Caller } from '@rdev/shared/domain/api-key'

type Rights = Pick<ApiKey, 'scopes' | 'cluster_id'>

/** The scopes of `key` that the caller does not itself have, and so can neither grant nor take away. `admin` may grant all of them. */
export function scopesBeyond(caller: Caller, key: Rights): readonly string[] {
  return key.scopes.filter((scope) => {
    if (caller.scopes.includes('admin')) return false
    return !hasScope(caller, scope) || (scope === 'cluster:connect' && caller.cluster_id !== key.cluster_id)
  })
}
