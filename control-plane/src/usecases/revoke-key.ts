import type { ApiKey, Caller } from '@rdev/shared/domain/api-key'
import { DomainError } from '@rdev/shared/domain/errors'
import type { KeyActor, ProjectFilter } from '../ports/actor.ts'
import type { Deps } from '../ports/deps.ts'
import { scopesBeyond } from './key-rights.ts'

export interface Revoked {
  readonly key: ApiKey
  /** Valid keys that it made, itself or through others: who had the key may have them. */
  readonly made: readonly ApiKey[]
  /** What was revoked beside it. */
  readonly along: readonly ApiKey[]
}

/**
 * Safe to repeat. A key may revoke itself, and keys whose scopes and projects it has. What a key made has no more rights than the key, so who
 * may revoke it may revoke that too. The key itself is revoked first: from then on it makes no more. Throws DomainError NOT_FOUND or FORBIDDEN.
 */
export async function revokeKey(
  { keys, clock }: Pick<Deps, 'keys' | 'clock'>,
  actor: Caller & KeyActor,
  id: string,
  madeKeys: 'keep' | 'revoke',
): Promise<Revoked> {
  const key = await getKey({ keys }, actor.project_ids, id)
  const beyond = scopesBeyond(actor, key)
  if (actor.key_id !== id && beyond.length > 0) {
    throw new DomainError('FORBIDDEN', `this API key cannot revoke one with scopes it lacks: ${beyond.join(', ')}`)
  }
  const revoked = await keys.revoke(id, actor, clock.now())
  if (!revoked) throw noSuchKey()
  const along = madeKeys === 'revoke' ? await keys.revokeMadeBy(id, actor, clock.now()) : []
  return { key: revoked, made: await keys.madeBy(id, actor.project_ids, clock.now()), along }
}

export async function getKey({ keys }: Pick<Deps, 'keys'>, projects: ProjectFilter, id: string): Promise<ApiKey> {
  const key = await keys.get(id, projects)
  if (!key) throw noSuchKey()
  return key
}

const noSuchKey = () => new DomainError('NOT_FOUND', 'there is no such key')
