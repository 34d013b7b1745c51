// Access to Postgres by Neon's HTTP protocol: one request per statement, no connection to keep. A statement has 5 s (the database's
// `statement_timeout`, set by a migration), a request 8 s. A database that cannot be asked (SERVICE_UNAVAILABLE, worth asking again) is told
// apart from one that refused the statement (StoreRefusal, which no repeat changes). The text of a refusal may hold customer data (Postgres prints a row that
// violates a CHECK, drizzle adds the parameters), so only its SQLSTATE and names are passed on.

import { DomainError } from '@rdev/shared/domain/errors'
import { neon, NeonDbError, neonConfig } from '@neondatabase/serverless'
import { getTableColumns, type SQL, sql, type Table } from 'drizzle-orm'
import { drizzle, type NeonHttpDatabase } from 'drizzle-orm/neon-http'
import { StoreRefusal } from '../../ports/store-refusal.ts'
import { failureOfSqlstate } from './sqlstate.ts'

const defaultDeadlineMs = 8_000

export interface Connection {
  readonly databaseUrl: string
  /** Full URL of an endpoint that speaks Neon's HTTP protocol; without it Neon's own address is derived from `databaseUrl`. */
  readonly fetchEndpoint?: string | undefined
  readonly requestDeadlineMs?: number | undefined
}

// The driver has one endpoint for the whole program; this map gives each host of a connection string its own.
const endpoints = new Map<string, string>()
const neonsOwn = neonConfig.fetchEndpoint
neonConfig.fetchEndpoint = (host, port, options) =>
  endpoints.get(`${host}:${port}`) ?? (typeof neonsOwn === 'string' ? neonsOwn : neonsOwn(host, port, options))

// The driver tells a failed request from a refused statement only until the answer begins. A body that times out, is cut or is not JSON would
// look like a bug of ours. So the body is read here, where the driver still catches errors of the request.
neonConfig.fetchFunction = async (url: string, init: RequestInit) => {
  const response = await fetch(url, init)
  const text = await response.text()
  const { ok, status } = response
  const body: unknown = ok || status === 400 ? JSON.parse(text) : undefined
  return { ok, status, json: async () => body, text: async () => text }
}

export function neonClient({ databaseUrl, fetchEndpoint, requestDeadlineMs = defaultDeadlineMs }: Connection) {
  if (fetchEndpoint !== undefined) {
    const { hostname, port } = new URL(databaseUrl.replace(/^postgres(ql)?:/, 'http:'))
    endpoints.set(`${hostname}:${port}`, fetchEndpoint)
  }
  // The driver spreads these options into each request's, so a getter gives every request its own deadline.
  const fetchOptions = {
    get signal() {
      return AbortSignal.timeout(requestDeadlineMs)
    },
  }
  return neon(databaseUrl, { fetchOptions, fullResults: true, disableWarningInBrowsers: true })
}

type Raw = Readonly<Record<string, unknown>>

export class Database {
  readonly db: NeonHttpDatabase
  constructor(connection: Connection) {
    this.db = drizzle(neonClient(connection))
  }

  /** Runs a drizzle query. Throws DomainError SERVICE_UNAVAILABLE if the database cannot be asked, StoreRefusal if it refused the statement. */
  async run<Result>(query: PromiseLike<Result>): Promise<Result> {
    try {
      return await query
    } catch (error) {
      throw translate(error)
    }
  }

  async rows(statement: SQL): Promise<readonly Raw[]> {
    return (await this.run(this.db.execute(statement))).rows
  }

  /** Runs two statements in one transaction, each with its own snapshot (READ COMMITTED). Answers the rows of the last. Throws like `run`. */
  async batch(first: SQL, last: SQL): Promise<readonly Raw[]> {
    const [, result] = await this.run(this.db.batch([this.db.execute(first), this.db.execute(last)]))
    return result.rows
  }
}

function translate(error: unknown): Error {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  if (!(cause instanceof NeonDbError)) return cause instanceof Error ? cause : new Error('the database driver threw no error')
  const failure = failureOfSqlstate(cause.code)
  if (failure === 'away') {
    return new DomainError('SERVICE_UNAVAILABLE', 'The database cannot be asked at the moment', {
      cause: new Error(cause.code ? `SQLSTATE ${cause.code}` : 'no answer from the database'),
    })
  }
  const names = [cause.table, cause.column, cause.constraint, cause.routine].filter(Boolean).join(' ')
  // Messages about syntax and missing names (class 42) hold no customer data.
  const words = cause.code?.startsWith('42') ? `: ${cause.message}` : ''
  return new StoreRefusal(failure, `Postgres refused a statement: SQLSTATE ${cause.code} ${names}${words}`)
}

/** The columns of a table for a raw statement, by name: `t.*` would change its meaning with the next migration. */
export function columnsOf(table: Table, alias: string): SQL {
  return sql.join(
    Object.values(getTableColumns(table)).map((column) => sql.raw(`${alias}.${column.name}`)),
    sql.raw(', '),
  )
}

/** A parameter that is an instant. The type is explicit, because in a CASE Postgres would take the parameter for text. */
export const at = (ms: number): SQL => sql`${new Date(ms).toISOString()}::timestamptz(3)`

/** The store's clock for leases, deadlines and due times. It is cut to milliseconds, as columns are: a rounded one could lie in the future. */
export const storeNow: SQL = sql`date_trunc('milliseconds', statement_timestamp())`

export const after = (ms: number): SQL => sql`${storeNow} + ${ms}::float8 * interval '1 millisecond'`
