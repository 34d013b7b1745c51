import type { ApiKey } from '@rdev/shared/domain/api-key'
import type { Page, PageRequest } from './page.ts'

export interface KeyStore {
  insert(key: ApiKey): Promise<void>
  findByPrefix(prefix: string): Promise<ApiKey | undefined>
  get(id: string): Promise<ApiKey | undefined>
  list(page: PageRequest): Promise<Page<ApiKey>>
  /** Sets `revoked_at` if it is not set; answers the key as it is afterwards. */
  revoke(id: string, now: number): Promise<ApiKey | undefined>
}
