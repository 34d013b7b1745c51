// Our store without the Worker round it: over the proxy in this program, where each statement's own time on the server is seen.
import { postgresStores } from '../control-plane/src/stores/postgres/postgres-stores.ts'
import type { Stores } from '../control-plane/src/stores/stores.ts'
import type { SqlBackend, Statement } from '../dev/neon-proxy/backend.ts'
import { migrate } from '../dev/migrate.ts'
import { openPg } from '../dev/neon-proxy/pg-backend.ts'
import { startNeonProxy } from '../dev/neon-proxy/server.ts'

export interface BenchStore extends Stores {
  /** From the first statement of a call to the answer of its last, or of its COMMIT. */
  readonly serverMs: number[]
  /** What was asked last. */
  last(): readonly Statement[]
  close(): Promise<void>
}

export async function openStore(databaseUrl: string): Promise<BenchStore> {
  const postgres = await openPg(databaseUrl)
  const serverMs: number[] = []
  let last: readonly Statement[] = []
  const timed = async <Result>(statements: readonly Statement[], ask: () => Promise<Result>): Promise<Result> => {
    last = statements
    const began = performance.now()
    const result = await ask()
    serverMs.push(performance.now() - began)
    return result
  }
  const backend: SqlBackend = {
    query: (statement) => timed([statement], () => postgres.query(statement)),
    transaction: (statements, options) => timed(statements, () => postgres.transaction(statements, options)),
    close: () => postgres.close(),
  }
  const proxy = await startNeonProxy({ backend, host: '127.0.0.1', port: 0 })
  const connection = { databaseUrl: proxy.connectionString, fetchEndpoint: proxy.url }
  await migrate(connection)
  return Object.assign(postgresStores({ ...connection, clock: { now: () => Date.now() } }), {
    serverMs,
    last: () => last,
    close: async () => {
      await proxy.close()
      await backend.close()
    },
  })
}
