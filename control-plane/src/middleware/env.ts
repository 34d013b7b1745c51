import type { Caller } from '@rdev/shared/domain/api-key'
import type { Authentication } from './auth.ts'
import type { Idempotency, Making } from './idempotency.ts'

/**
 * What middleware leaves for those after it. `caller` is there on every route whose access asks for a key, `making` on those that
 * are `idempotent`.
 */
export interface AppEnv {
  Variables: { requestId: string; auth: Authentication; idempotency: Idempotency; caller: Caller; making: Making }
}
