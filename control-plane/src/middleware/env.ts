import type { Operation } from '@rdev/shared/api/operation'
import type { Caller } from '@rdev/shared/domain/api-key'
import type { KeyActor } from '../ports/actor.ts'
import type { Authentication } from './auth.ts'
import type { Idempotency, Making } from './idempotency.ts'

/**
 * What middleware leaves for those after it. `operation` is there behind every door, `caller`, and `actor` for what
 * it changes, where the operation's scope asks for a key, `making` where it is `idempotent`.
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
