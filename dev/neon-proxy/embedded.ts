// The database of the embedded stack: PGlite in a directory, behind the proxy, migrated.
import { migrate } from '../migrate.ts'
import { openPGlite } from './pglite-backend.ts'
import { startNeonProxy } from './server.ts'

export interface EmbeddedDatabase {
  /** What a Worker gets as DATABASE_URL and NEON_FETCH_ENDPOINT. */
  readonly connectionString: string
  readonly fetchEndpoint: string
  close(): Promise<void>
}

export async function startDatabase(directory: string): Promise<EmbeddedDatabase> {
  const backend = await openPGlite(directory)
  try {
    const proxy = await startNeonProxy({ backend, host: '127.0.0.1', port: 0 })
    await migrate({ databaseUrl: proxy.connectionString, fetchEndpoint: proxy.url })
    // PGlite has no autovacuum.
    await backend.query({ sql: 'VACUUM ANALYZE', params: [] })
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
