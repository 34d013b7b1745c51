import { hasScope, isServiceWide } from '@rdev/shared/domain/api-key'
import type { ApiKey, Caller } from '@rdev/shared/domain/api-key'

type Rights = Pick<ApiKey, 'scopes' | 'cluster_id'>

/**
 * The scopes of `key` that the caller lacks, so that it may neither give nor revoke them. `admin` may give all, but scopes of the service only
 * if it is of every project: nobody gives away more than they have.
 */
export function scopesBeyond(caller: Caller, key: Rights): readonly string[] {
  return key.scopes.filter((scope) => {
    if (isServiceWide(scope) && caller.project_ids !== null) return true
    if (caller.scopes.includes('admin')) return false
    return !hasScope(caller, scope) || (scope === 'cluster:connect' && caller.cluster_id !== key.cluster_id)
  })
}
