import type { Clock } from '../ports.ts'
import type { Stores } from './stores.ts'

export interface PostgresOptions {
  readonly databaseUrl: string
  /** Where Neon's HTTP protocol is spoken, a full URL; without it Neon's own address is derived from `databaseUrl`. */
  readonly fetchEndpoint?: string | undefined
  readonly clock: Clock
}
export type { Stores }
