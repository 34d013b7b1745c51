import type { Caller } from '@rdev/shared/domain/api-key'

/** Finds who a key belongs to; throws DomainError UNAUTHORIZED, KEY_REVOKED or KEY_EXPIRED. */
export interface Authenticator {
  (key: string | undefined): Promise<Caller>
}
