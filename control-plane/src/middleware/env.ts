import type { Caller } from '@rdev/shared/domain/api-key'
import type { Authentication } from './auth.ts'

/** What middleware leaves for those after it. `caller` is there on every route whose access asks for a key. */
export interface AppEnv {
  Variables: { requestId: string; auth: Authentication; caller: Caller }
}
