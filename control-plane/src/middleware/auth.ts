// Finds the caller of a request by its API key. A malformed key is refused by its checksum without a query. Keys are compared as SHA-256 in
// constant time. A key that was found is cached for at most 5 s in this isolate, so a revocation takes at most 5 s to be seen elsewhere.

import { parseApiKey, refusalOf } from '@rdev/shared/domain/api-key'
import type { ApiKey, Caller } from '@rdev/shared/domain/api-key'
import { DomainError } from '@rdev/shared/domain/errors'
import type { Authenticator } from '../ports/authenticator.ts'
import type { Deps } from '../ports/deps.ts'

export interface Authentication {
  readonly authenticate: Authenticator
  /** The current rights of a key by its id, for tickets and for long streams. Throws like `authenticate`. */
  readonly callerOf: (keyId: string) => Promise<Caller>
  /** Drops a key from the cache, so that this isolate sees its revocation at once. */
  readonly forget: (key: Pick<ApiKey, 'id' | 'prefix'>) => void
}

const rememberMs = 5_000
/** Bounds the memory of an isolate; the oldest entry is dropped. */
const maxRemembered = 2_000
const adminCaller: Caller = {
  key_id: 'admin',
  scopes: ['admin'],
  project_ids: null,
  cluster_id: null,
  cluster_project_ids: [],
  expires_at: null,
}
/** Compared with unknown keys, so that they take as long as known ones. */
const noHash = '0'.repeat(64)

export function createAuthentication({ keys, clock, adminKey }: Pick<Deps, 'keys' | 'clock' | 'adminKey'>): Authentication {
  const remembered = new Map<string, { key: ApiKey; at: number }>()
  let adminHash: string | null | undefined

  async function find(name: string, load: () => Promise<ApiKey | undefined>): Promise<ApiKey | undefined> {
    const known = remembered.get(name)
    const now = clock.now()
    if (known && now - known.at < rememberMs) return known.key
    // Take the time before the query, because the answer may be that old.
    const key = await load()
    remembered.delete(name)
    if (key) {
      remembered.set(name, { key, at: now })
      if (remembered.size > maxRemembered) remembered.delete(remembered.keys().next().value!)
    }
    return key
  }

  function callerFrom(key: ApiKey): Caller {
    const refusal = refusalOf(key, clock.now())
    if (refusal !== null) throw new DomainError(refusal)
    const { scopes, project_ids, cluster_id, cluster_project_ids, expires_at } = key
    return { key_id: key.id, scopes, project_ids, cluster_id, cluster_project_ids, expires_at }
  }

  return {
    async authenticate(presented) {
      if (!presented) throw new DomainError('UNAUTHORIZED')
      const hash = await sha256Hex(presented)
      adminHash ??= adminKey === null ? null : await sha256Hex(adminKey)
      if (adminHash !== null && sameText(hash, adminHash)) return adminCaller

      const parsed = parseApiKey(presented)
      const key = parsed && (await find(`prefix ${parsed.prefix}`, () => keys.findByPrefix(parsed.prefix)))
      const same = sameText(hash, key?.hash ?? noHash)
      if (!key || !same) throw new DomainError('UNAUTHORIZED', 'this API key is not known')
      return callerFrom(key)
    },

    async callerOf(keyId) {
      if (keyId === adminCaller.key_id) {
        if (adminKey === null) throw new DomainError('UNAUTHORIZED')
        return adminCaller
      }
      const key = await find(`id ${keyId}`, () => keys.get(keyId, null))
      if (!key) throw new DomainError('UNAUTHORIZED')
      return callerFrom(key)
    },

    forget(key) {
      remembered.delete(`prefix ${key.prefix}`)
      remembered.delete(`id ${key.id}`)
    },
  }
}

/** `Authorization: Bearer` or `X-API-Key`. */
export function presentedKey(headers: Headers): string | undefined {
  const bearer = /^Bearer +(\S+)$/i.exec(headers.get('authorization') ?? '')
  return bearer?.[1] ?? headers.get('x-api-key') ?? undefined
}

export async function sha256Hex(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** Compares in constant time for texts of the same length. */
export function sameText(a: string, b: string): boolean {
  if (a.length !== b.length) return false
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i)
  return difference === 0
}
