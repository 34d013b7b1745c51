import type { Operation } from '@rdev/shared/api/operation'
import type { Caller } from '@rdev/shared/domain/api-key'
import type { KeyActor } from '../ports/actor.ts'
import type { Authentication } from './auth.ts'
import type { Idempotency, Making } from './idempotency.ts'

/**
 * Variables that middleware sets for handlers. `operation` is always set; `caller`, and `actor` for changes, where the operation's scope needs a
 * key; `making` where the operation is `idempotent`.
 */
export interface AppEnv {
  Variables: {
    requestId: string
    auth: Authentication
    idempotency: Idempotency
    operation: Operation
    caller: Caller
    actor: Caller & KeyActor
    making: Making
  }
}
