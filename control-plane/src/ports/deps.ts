// What the use cases, routes and objects of the control plane need from outside. Each port has a file. Memory and Postgres stores pass the
// same contract suite. Instants are milliseconds since the epoch. Every method of a store throws DomainError SERVICE_UNAVAILABLE if the
// database cannot be asked now.

import type { AgentProvider } from '@rdev/shared/domain/code-agent'
import type { Clock } from './clock.ts'
import type { ClusterStore } from './cluster-store.ts'
import type { DispatchStore } from './dispatch-store.ts'
import type { Hubs } from './hubs.ts'
import type { IdempotencyStore } from './idempotency-store.ts'
import type { KeyStore } from './key-store.ts'
import type { Log } from './log.ts'
import type { ProjectStore } from './project-store.ts'
import type { Randomness } from './randomness.ts'
import type { SessionStore } from './session-store.ts'
import type { TaskLogs } from './task-logs.ts'
import type { TaskStore } from './task-store.ts'
import type { Tokens } from './tokens.ts'

export interface Deps {
  readonly tasks: TaskStore
  readonly dispatch: DispatchStore
  readonly sessions: SessionStore
  readonly projects: ProjectStore
  readonly clusters: ClusterStore
  readonly keys: KeyStore
  readonly idempotency: IdempotencyStore
  readonly hubs: Hubs
  readonly logs: TaskLogs
  readonly tokens: Tokens
  readonly clock: Clock
  readonly random: Randomness
  readonly log: Log
  /** Whether the database can be asked now; never throws. */
  readonly ready: () => Promise<boolean>
  /** The environment's first admin key, if one is set: compared in constant time, never stored. */
  readonly adminKey: string | null
  readonly providers: readonly AgentProvider[]
}
