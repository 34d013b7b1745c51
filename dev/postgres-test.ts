// A database for one test file: a PostgreSQL database of its own if RDEV_TEST_POSTGRES_URL names a server, else PGlite, always through the
// proxy and migrated. PGlite's directory is copied from a template, since making one takes seconds.

import { cp, mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { migrate, readMigrations } from './migrate.ts'
import type { SqlBackend } from './neon-proxy/backend.ts'
import { createDatabase } from './neon-proxy/own-database.ts'
import { openPg } from './neon-proxy/pg-backend.ts'
import { openPGlite } from './neon-proxy/pglite-backend.ts'
import { startNeonProxy } from './neon-proxy/server.ts'

export const realPostgresUrl = process.env.RDEV_TEST_POSTGRES_URL

export interface TestPostgres {
  readonly kind: 'PGlite' | 'PostgreSQL'
  readonly databaseUrl: string
  readonly fetchEndpoint: string
  readonly backend: SqlBackend
  /** Empties every table. */
  reset(): Promise<void>
  /** Rows of a query, for what no store shows. */
  rows(sql: string, params?: readonly (string | null)[]): Promise<Record<string, string | null>[]>
  close(): Promise<void>
}

export async function testPostgres(): Promise<TestPostgres> {
  const { backend, drop } = realPostgresUrl === undefined ? await copyOfTemplate() : await ownDatabase(realPostgresUrl)
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
      // DELETE in the order of the foreign keys: of a few rows it takes a tenth of TRUNCATE.
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

async function copyOfTemplate() {
  const template = await templateDirectory()
  const home = await mkdtemp(join(tmpdir(), 'rdev-test-postgres-'))
  const directory = join(home, 'data')
  await cp(template, directory, { recursive: true })
  return { backend: await openPGlite(directory), drop: () => rm(home, { recursive: true, force: true }) }
}

/** Kept in node_modules, one for each PGlite version and set of migrations; made aside and renamed, so that it is whole or not there. */
async function templateDirectory(): Promise<string> {
  const { version }: { version: string } = createRequire(import.meta.url)('../node_modules/@electric-sql/pglite/package.json')
  const last = (await readMigrations()).at(-1)
  const cache = fileURLToPath(new URL('../node_modules/.cache/rdev/', import.meta.url))
  const directory = join(cache, `pglite-${version}-${last?.tag ?? 'empty'}-${last?.hash.slice(0, 12) ?? ''}`)
  if (await stat(directory).catch(() => undefined)) return directory
  await mkdir(cache, { recursive: true })
  const aside = await mkdtemp(join(cache, 'making-'))
  const backend = await openPGlite(join(aside, 'data'))
  const proxy = await startNeonProxy({ backend, host: '127.0.0.1', port: 0 })
  await migrate({ databaseUrl: proxy.connectionString, fetchEndpoint: proxy.url })
  await proxy.close()
  await backend.close()
  try {
    await rename(join(aside, 'data'), directory)
  } catch (error) {
    // Another was faster; its copy is as good.
    if (!(await stat(directory).catch(() => undefined))) throw error
  } finally {
    await rm(aside, { recursive: true, force: true })
  }
  return directory
}
