// The migrated database of the stack behind the proxy: PGlite in a directory, or a PostgreSQL server.
import { migrate } from '../migrate.ts'
import { openPg } from './pg-backend.ts'
import { isDatabase, openPGlite } from './pglite-backend.ts'
import { migratedDatabase } from './pglite-template.ts'
import { startNeonProxy } from './server.ts'

export interface DatabaseOptions {
  /** A PGlite directory, or the URL of a database on a PostgreSQL server. */
  readonly at: { readonly directory: string } | { readonly url: string }
  /** A proxy that is started again needs the same port and password. Default: a free port and a new password. */
  readonly port?: number
  readonly password?: string
}

export interface StackDatabase {
  /** What a Worker gets as DATABASE_URL and NEON_FETCH_ENDPOINT. */
  readonly connectionString: string
  readonly fetchEndpoint: string
  close(): Promise<void>
}

export async function startDatabase({ at, port = 0, password }: DatabaseOptions): Promise<StackDatabase> {
  const fresh = 'directory' in at && !(await isDatabase(at.directory))
  const backend = 'url' in at ? await openPg(at.url) : await openPGlite(at.directory, fresh ? await migratedDatabase() : undefined)
  try {
    const proxy = await startNeonProxy({ backend, host: '127.0.0.1', port, password })
    await migrate({ databaseUrl: proxy.connectionString, fetchEndpoint: proxy.url })
    // PGlite has no autovacuum. A new database is vacuumed already.
    if ('directory' in at && !fresh) await backend.query({ sql: 'VACUUM ANALYZE', params: [] })
    return {
      connectionString: proxy.connectionString,
      fetchEndpoint: proxy.url,
      close: async () => {
        await proxy.close()
        await backend.close()
      },
    }
  } catch (error) {
    await backend.close()
    throw error
  }
}
