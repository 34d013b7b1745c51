// The cluster's keys, and the operator who replaces and revokes them. The rows are in the shipped store; what this knows is only for the door,
// which the simulator does not run, and for the judge.

import type { ApiKey } from '@rdev/shared/domain/api-key'
import type { KeyStore } from '../../control-plane/src/ports/key-store.ts'
import type { KeyActor } from '../../control-plane/src/ports/actor.ts'

/** The id of the key with which a socket was opened: the last word of its target. */
export const keyIn = (target: string): string => target.slice(target.lastIndexOf(' ') + 1)

export class ModelKeys {
  /** The newest key; agents that are started get it. */
  current = ''
  readonly #store: Pick<KeyStore, 'insert' | 'revoke'>
  readonly #clusterId: string
  readonly #actor: KeyActor
  /** When each key was revoked; null: it is valid. */
  readonly #revokedAt = new Map<string, number | null>()

  constructor(store: Pick<KeyStore, 'insert' | 'revoke'>, clusterId: string, actor: KeyActor) {
    this.#store = store
    this.#clusterId = clusterId
    this.#actor = actor
  }

  async replace(now: number): Promise<void> {
    const n = this.#revokedAt.size + 1
    const id = `key_${n}`
    this.current = id
    this.#revokedAt.set(id, null)
    const row: ApiKey = {
      id,
      name: id,
      prefix: `prefix_${n}`,
      hash: '',
      scopes: ['cluster:connect'],
      project_ids: null,
      cluster_id: this.#clusterId,
      cluster_project_ids: [],
      created_by: 'admin',
      created_at: now,
      expires_at: null,
      revoked_at: null,
    }
    await this.#store.insert(row, this.#actor)
  }

  async revoke(id: string, now: number): Promise<void> {
    if (!this.isValid(id)) return
    this.#revokedAt.set(id, now)
    await this.#store.revoke(id, this.#actor, now)
  }

  isValid(id: string): boolean {
    return this.#revokedAt.get(id) === null
  }
  /** How long the key has been revoked; 0: it is valid. */
  revokedForMs(id: string, now: number): number {
    const at = this.#revokedAt.get(id) ?? null
    return at === null ? 0 : now - at
  }
}
