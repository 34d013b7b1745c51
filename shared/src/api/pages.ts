import { z } from 'zod'

/** Lists answer `{data, next_cursor}`; the cursor is opaque, null at the end. */
export const pageOf = <Item extends z.ZodType>(item: Item, id: string) =>
  z.object({ data: z.array(item), next_cursor: z.string().nullable() }).meta({ id })

/**
 * A number in a query: plain decimal digits. `Number` would also read 0x10, 1e3, a blank, and digits between blanks. The document shows no
 * default of what is made of a text, so `override` says it again.
 */
export const inQuery = <Schema extends z.ZodNumber>(schema: Schema) =>
  z.preprocess((value) => (typeof value === 'string' && /^\d{1,16}(\.\d{1,9})?$/.test(value) ? Number(value) : value), schema)

export const pageQuery = {
  cursor: z.string().max(200).optional().meta({ description: '`next_cursor` of the page before' }),
  limit: inQuery(z.int().min(1).max(200))
    .default(50)
    .meta({ description: 'items per page', override: { default: 50 } }),
}

/** Milliseconds since the epoch as RFC 3339 in UTC, the form of every instant in the API. */
export const toInstant = (ms: number): string => new Date(ms).toISOString()
export const toInstantOrNull = (ms: number | null): string | null => (ms === null ? null : toInstant(ms))
export const instantSchema = z.iso
  .datetime({ precision: 3 })
  .meta({ description: 'RFC 3339 with milliseconds, UTC', example: '2026-11-23T08:00:00.000Z' })
