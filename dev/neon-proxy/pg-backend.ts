// A PostgreSQL server as a backend: for the suite on a real server, and for load on more than PGlite's single thread.
import { DatabaseError, Pool } from 'pg'
import type { PoolClient } from 'pg'
import { begin, parseCommandTag, SqlError } from './backend.ts'
import type { ErrorFields, SqlBackend, SqlResult, Statement } from './backend.ts'

const asText = { getTypeParser: () => (value: string) => value }

export async function openPg(connectionString: string): Promise<SqlBackend> {
  const pool = new Pool({ connectionString, max: 10, connectionTimeoutMillis: 5_000 })
  // An idle connection that is lost is replaced by the next query. Without a listener the error would end the process.
  pool.on('error', () => {})
  // The same for a connection that is lost between two statements of a transaction: the next statement fails.
  pool.on('connect', (client) => client.on('error', () => {}))
  return {
    query: (statement) => run(pool, statement),
    async transaction(statements, options) {
      const client = await pool.connect()
      let broken: Error | undefined
      try {
        await client.query(begin(options))
        const results: SqlResult[] = []
        for (const statement of statements) results.push(await run(client, statement))
        // A deferred constraint fails here.
        await client.query('COMMIT').catch(toSqlError)
        return results
      } catch (error) {
        await client.query('ROLLBACK').catch((failure: Error) => (broken = failure))
        throw error
      } finally {
        client.release(broken)
      }
    },
    close: () => pool.end(),
  }
}

async function run(on: Pool | PoolClient, { sql, params }: Statement): Promise<SqlResult> {
  // The extended protocol even without parameters: the simple one takes several statements in one text, which Neon refuses.
  const config = { text: sql, values: [...params], rowMode: 'array' as const, types: asText, queryMode: 'extended' }
  const { fields, rows, command, rowCount } = await on.query<(string | null)[]>(config).catch(toSqlError)
  return {
    fields: fields.map(({ name, dataTypeID, tableID, columnID, dataTypeSize, dataTypeModifier }) => {
      return { name, dataTypeID, tableID, columnID, dataTypeSize, dataTypeModifier, format: 'text' }
    }),
    rows,
    // pg answers null for an empty text.
    command: parseCommandTag(command ?? '').command,
    rowCount,
  }
}

function toSqlError(error: Error & ErrorFields): never {
  throw error instanceof DatabaseError ? new SqlError(error.message, error) : error
}
