import type { ClusterStore, IdempotencyStore, KeyStore, ProjectStore, SessionStore, TaskStore } from '../ports.ts'

/** What both sides, memory and Postgres, offer. `ready` answers whether the database can be asked; it never throws. */
export interface Stores {
  readonly tasks: TaskStore
  readonly sessions: SessionStore
  readonly projects: ProjectStore
  readonly clusters: ClusterStore
  readonly keys: KeyStore
  readonly idempotency: IdempotencyStore
  readonly ready: () => Promise<boolean>
}
