// A single statement decides who handles a request. It always writes the row of its key, even with unchanged values. So it waits for a
// concurrent writer of that row, and sees the row as that writer left it, not as it was when the statement began.

import { type SQL, sql } from 'drizzle-orm'
import type { IdempotencyStore } from '../../ports/idempotency-store.ts'
import { after, type Database, storeNow } from './database.ts'
import { storable } from '../storable.ts'

/** Expired rows that each request deletes: more than it adds, so the table does not grow. */
const sweptAtOnce = 20

type Begin = Parameters<IdempotencyStore['begin']>[0]
const hexOf = (value: Uint8Array) => Array.from(value, (byte) => byte.toString(16).padStart(2, '0')).join('')
const bytesOf = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16))

function beginStatement({ caller, route, key, body_hash, seed, takeOverMs, keepMs }: Begin): SQL {
  const expired = sql.raw('i.expires_at <= excluded.begun_at')
  const taken = sql`(${expired} or (i.status is null and i.body_hash = excluded.body_hash
    and i.held_at + ${takeOverMs}::float8 * interval '1 millisecond' <= excluded.begun_at))`
  // An expired row is replaced; a row that is taken over changes only its holder.
  const anew = (column: string) =>
    sql.raw(`${column} = case when i.expires_at <= excluded.begun_at then excluded.${column} else i.${column} end`)
  return sql`
with me as materialized (select gen_random_uuid() as holder),
swept as (
  delete from idempotency where (caller, route, key) in (
    select caller, route, key from idempotency
    where expires_at <= ${storeNow} and (caller, route, key) <> (${caller}, ${route}, ${key})
    order by expires_at limit ${sql.raw(String(sweptAtOnce))} for update skip locked
  )
),
row as (
  insert into idempotency as i (caller, route, key, body_hash, seed, begun_at, holder, held_at, expires_at)
  select ${caller}, ${route}, ${key}, ${body_hash}, decode(${hexOf(seed)}, 'hex'), ${storeNow}, me.holder, ${storeNow}, ${after(keepMs)} from me
  on conflict (caller, route, key) do update set
    holder = case when ${taken} then excluded.holder else i.holder end,
    held_at = case when ${taken} then excluded.held_at else i.held_at end,
    ${sql.join(['body_hash', 'seed', 'begun_at', 'expires_at', 'status', 'location', 'body'].map(anew), sql.raw(', '))}
  returning *
)
select row.holder = me.holder as mine, row.body_hash = ${body_hash} as same, encode(row.seed, 'hex') as seed,
  (extract(epoch from row.begun_at) * 1000)::float8 as at, row.status, row.location, row.body
from row cross join me`
}

export function postgresIdempotency(database: Database): IdempotencyStore {
  return {
    async begin(request) {
      const [row] = await database.rows(beginStatement({ ...request, route: storable(request.route), key: storable(request.key) }))
      if (row?.mine === true) return { state: 'mine', seed: bytesOf(String(row.seed)), at: Number(row.at) }
      if (row?.same !== true) return { state: 'mismatch' }
      if (typeof row.status !== 'number') return { state: 'busy' }
      return {
        state: 'done',
        answer: { status: row.status, location: typeof row.location === 'string' ? row.location : null, body: String(row.body) },
      }
    },

    async finish({ caller, route, key }, answer) {
      const mine = sql`caller = ${caller} and route = ${storable(route)} and key = ${storable(key)} and status is null`
      await database.rows(
        answer === null
          ? sql`delete from idempotency where ${mine}`
          : sql`update idempotency set status = ${answer.status}::int, location = ${answer.location}, body = ${answer.body} where ${mine}`,
      )
    },
  }
}
