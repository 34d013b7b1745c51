import type { ApiKey, Caller } from '@rdev/shared/domain/api-key'
import { DomainError } from '@rdev/shared/domain/errors'
import type { Deps } from '../ports/deps.ts'
import { maySeeKey, scopesBeyond } from './key-rights.ts'

/** Safe to repeat. A key may revoke itself and whatever it could have granted. */
export async function revokeKey({ keys, clock }: Pick<Deps, 'keys' | 'clock'>, caller: Caller, id: string): Promise<ApiKey> {
  const key = await getKey({ keys }, caller, id)
  const beyond = scopesBeyond(caller, key)
  if (caller.key_id !== id && beyond.length > 0) {
    throw new DomainError('FORBIDDEN', `this API key cannot revoke one with scopes it lacks: ${beyond.join(', ')}`)
  }
  const revoked = await keys.revoke(id, clock.now())
  if (!revoked) throw noSuchKey()
  return revoked
}

export async function getKey({ keys }: Pick<Deps, 'keys'>, caller: Caller, id: string): Promise<ApiKey> {
  const key = await keys.get(id)
  if (!key || !maySeeKey(caller, key)) throw noSuchKey()
  return key
}

const noSuchKey = () => new DomainError('NOT_FOUND', 'there is no such key')
