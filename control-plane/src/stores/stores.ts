import type { DispatchStore } from '../ports/dispatch-store.ts'
import type { ClusterStore } from '../ports/cluster-store.ts'
import type { IdempotencyStore } from '../ports/idempotency-store.ts'
import type { KeyStore } from '../ports/key-store.ts'
import type { ProjectStore } from '../ports/project-store.ts'
import type { SessionStore } from '../ports/session-store.ts'
import type { TaskStore } from '../ports/task-store.ts'

/** What both sides, memory and Postgres, offer. `ready` answers whether the database can be asked; it never throws. */
export interface Stores {
  readonly tasks: TaskStore
  readonly dispatch: DispatchStore
  readonly sessions: SessionStore
  readonly projects: ProjectStore
  readonly clusters: ClusterStore
  readonly keys: KeyStore
  readonly idempotency: IdempotencyStore
  readonly ready: () => Promise<boolean>
}
