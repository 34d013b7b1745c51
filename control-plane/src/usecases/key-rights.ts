import { hasScope } from '@rdev/shared/domain/api-key'
import type { ApiKey, Caller } from '@rdev/shared/domain/api-key'

type Rights = Pick<ApiKey, 'scopes' | 'cluster_id'>

/** The scopes of `key` that the caller lacks, so that it may neither give nor revoke them. `admin` may give all. */
export function scopesBeyond(caller: Caller, key: Rights): readonly string[] {
  return key.scopes.filter((scope) => {
    if (caller.scopes.includes('admin')) return false
    return !hasScope(caller, scope) || (scope === 'cluster:connect' && caller.cluster_id !== key.cluster_id)
  })
}
