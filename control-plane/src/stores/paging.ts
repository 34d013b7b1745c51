// Pages by key: the cursor is the last id of the page before, so inserted or deleted rows never shift a page.
import { DomainError } from '@rdev/shared/domain/errors'
import type { Page, PageRequest } from '../ports/page.ts'

/** The id to continue after, or null for the first page. Throws DomainError BAD_REQUEST for a cursor that is not an id. */
export function afterOf({ cursor }: PageRequest): string | null {
  if (cursor === undefined) return null
  if (!/^[A-Za-z0-9_-]{1,200}$/.test(cursor)) {
    throw new DomainError('BAD_REQUEST', 'the cursor is not valid', {
      fields: [{ parameter: 'cursor', message: 'must be the next_cursor of the page before' }],
    })
  }
  return cursor
}

/** `rows` may have one row more than `limit`; that row only tells that there is a next page. */
export function pageOfRows<Item extends { readonly id: string }>(rows: readonly Item[], limit: number): Page<Item> {
  const data = rows.slice(0, limit)
  return { data, next_cursor: rows.length > limit ? (data.at(-1)?.id ?? null) : null }
}
