// A migrated database for one test file, through the proxy: a new database on the server that RDEV_TEST_POSTGRES_URL names, else PGlite in
// memory.

import { migrate } from './migrate.ts'
import type { SqlBackend } from './neon-proxy/backend.ts'
import { createDatabase } from './neon-proxy/own-database.ts'
import { openPg } from './neon-proxy/pg-backend.ts'
import { openPGlite } from './neon-proxy/pglite-backend.ts'
import { migratedDatabase } from './neon-proxy/pglite-template.ts'
import { startNeonProxy } from './neon-proxy/server.ts'

export const realPostgresUrl = process.env.RDEV_TEST_POSTGRES_URL

export interface TestPostgres {
  readonly kind: 'PGlite' | 'PostgreSQL'
  readonly databaseUrl: string
  readonly fetchEndpoint: string
  readonly backend: SqlBackend
  /** Empties every table. */
  reset(): Promise<void>
  /** The rows of a query, for facts that no store shows. */
  rows(sql: string, params?: readonly (string | null)[]): Promise<Record<string, string | null>[]>
  close(): Promise<void>
}

export async function testPostgres(): Promise<TestPostgres> {
  const { backend, drop } = realPostgresUrl === undefined ? await inMemory() : await ownDatabase(realPostgresUrl)
  const proxy = await startNeonProxy({ backend, host: '127.0.0.1', port: 0 })
  const connection = { databaseUrl: proxy.connectionString, fetchEndpoint: proxy.url }
  await migrate(connection)
  const rows: TestPostgres['rows'] = async (sql, params = []) => {
    const result = await backend.query({ sql, params })
    return result.rows.map((row) => Object.fromEntries(row.map((value, i) => [result.fields[i]!.name, value])))
  }
  return {
    kind: realPostgresUrl === undefined ? 'PGlite' : 'PostgreSQL',
    ...connection,
    backend,
    rows,
    reset: async () => {
      // DELETE in the order of the foreign keys; for a few rows it takes a tenth of the time of TRUNCATE.
      for (const table of ['attempts', 'tasks', 'sessions', 'projects', 'clusters', 'api_keys', 'idempotency']) {
        await backend.query({ sql: `DELETE FROM ${table}`, params: [] })
      }
    },
    close: async () => {
      await proxy.close()
      await backend.close()
      await drop()
    },
  }
}

async function ownDatabase(serverUrl: string) {
  const { url, drop } = await createDatabase(serverUrl)
  return { backend: await openPg(url), drop }
}

async function inMemory() {
  return { backend: await openPGlite(undefined, await migratedDatabase()), drop: async () => {} }
}
