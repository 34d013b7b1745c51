import { z } from 'zod'

/** Lists answer `{data, next_cursor}`; the cursor is opaque, null at the end. */
export const pageOf = <Item extends z.ZodType>(item: Item, id: string) =>
  z.object({ data: z.array(item), next_cursor: z.string().nullable() }).meta({ id })

export const pageQuery = {
  cursor: z.string().max(200).optional().meta({ description: '`next_cursor` of the page before' }),
  limit: z.coerce.number().int().min(1).max(200).default(50).meta({ description: 'items per page' }),
}

/** Milliseconds since the epoch as RFC 3339 in UTC, the form of every instant in the API. */
export const toInstant = (ms: number): string => new Date(ms).toISOString()
export const toInstantOrNull = (ms: number | null): string | null => (ms === null ? null : toInstant(ms))
export const instantSchema = z.iso
  .datetime({ precision: 3 })
  .meta({ description: 'RFC 3339 with milliseconds, UTC', example: '2026-11-23T08:00:00.000Z' })
