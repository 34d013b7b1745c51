import { mayUseProject, newApiKey } from '@rdev/shared/domain/api-key'
import type { ApiKey, Caller, Scope } from '@rdev/shared/domain/api-key'
import { DomainError } from '@rdev/shared/domain/errors'
import { newId } from '@rdev/shared/domain/ids'
import type { KeyActor } from '../ports/actor.ts'
import type { Deps } from '../ports/deps.ts'
import { scopesBeyond } from './key-rights.ts'

export interface NewKey {
  readonly name: string
  readonly scopes: readonly Scope[]
  readonly project_ids: readonly string[] | null
  readonly cluster_id: string | null
  readonly cluster_project_ids: readonly string[]
  readonly expires_at: number | null
}

/**
 * A caller may give a key only scopes, projects and time that its own key has. The key itself is only in the answer; the row holds its SHA-256.
 * Throws DomainError FORBIDDEN, BAD_REQUEST, or KEY_REVOKED if the caller's key was revoked meanwhile.
 */
export async function createKey(
  { keys, clock, random }: Pick<Deps, 'keys' | 'clock' | 'random'>,
  sha256: (text: string) => Promise<string>,
  actor: Caller & KeyActor,
  asked: NewKey,
): Promise<{ key: string; row: ApiKey }> {
  const now = clock.now()
  if (asked.expires_at !== null && asked.expires_at <= now) throw refuse('BAD_REQUEST', 'expires_at', 'expires_at lies in the past')
  const beyond = scopesBeyond(actor, asked)
  if (beyond.length > 0) throw refuse('FORBIDDEN', 'scopes', `this API key may not give scopes that it lacks: ${beyond.join(', ')}`)
  const foreign = asked.project_ids?.filter((id) => !mayUseProject(actor, id)) ?? []
  if (foreign.length > 0)
    throw refuse('FORBIDDEN', 'project_ids', `this API key may not give projects that it lacks: ${foreign.join(', ')}`)
  const unnamed = actor.scopes.includes('admin') ? [] : asked.cluster_project_ids.filter((id) => !actor.cluster_project_ids.includes(id))
  if (unnamed.length > 0)
    throw refuse('FORBIDDEN', 'cluster_project_ids', `this API key may not name projects for a cluster: ${unnamed.join(', ')}`)
  const ends = actor.expires_at
  if (ends !== null && asked.expires_at !== null && asked.expires_at > ends)
    throw refuse('FORBIDDEN', 'expires_at', 'this API key may not give a key that outlives it')

  const { key, prefix } = newApiKey(random.bytes(80))
  const row: ApiKey = {
    ...asked,
    id: newId('key', now, random.bytes(10)),
    scopes: [...new Set(asked.scopes)],
    // For a restricted caller "every project" means every project of its own key.
    project_ids: asked.project_ids ?? actor.project_ids,
    expires_at: asked.expires_at ?? ends,
    prefix,
    hash: await sha256(key),
    created_by: actor.key_id,
    created_at: now,
    revoked_at: null,
  }
  await keys.insert(row, actor)
  return { key, row }
}

const refuse = (code: 'BAD_REQUEST' | 'FORBIDDEN', field: string, message: string) =>
  new DomainError(code, message, { fields: [{ pointer: `/${field}`, message }] })
