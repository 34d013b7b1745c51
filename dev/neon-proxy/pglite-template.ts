// Dumps for new PGlite databases: initdb takes 7 s of processor time, filling a new database from a dump 1.5 s. Each dump is made once.

import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import process from 'node:process'
import { PGlite } from '@electric-sql/pglite'
import { cacheDirectory } from '../cache.ts'
import { migrate, readMigrations } from '../migrate.ts'
import { openPGlite } from './pglite-backend.ts'
import { startNeonProxy } from './server.ts'

/** A dump of a database after initdb. */
export function emptyDatabase(): Promise<Blob> {
  return kept('empty', async () => {
    const db = await PGlite.create('memory://')
    const dump = await db.dumpDataDir('none')
    await db.close()
    return dump
  })
}

/** A dump of a database with all migrations and no rows. */
export async function migratedDatabase(): Promise<Blob> {
  const last = (await readMigrations()).at(-1)
  return kept(`${last?.tag ?? 'none'}-${last?.hash.slice(0, 12) ?? ''}`, async () => {
    const backend = await openPGlite(undefined, await emptyDatabase())
    const proxy = await startNeonProxy({ backend, host: '127.0.0.1', port: 0 })
    await migrate({ databaseUrl: proxy.connectionString, fetchEndpoint: proxy.url })
    // PGlite has no autovacuum.
    for (const sql of ['VACUUM ANALYZE', 'CHECKPOINT']) await backend.query({ sql, params: [] })
    await proxy.close()
    const dump = await backend.dump()
    await backend.close()
    return dump
  })
}

/** Writes to another file and renames it, so that a dump in the cache is always whole. */
async function kept(name: string, make: () => Promise<Blob>): Promise<Blob> {
  const { version }: { version: string } = createRequire(import.meta.url)('../../node_modules/@electric-sql/pglite/package.json')
  const file = `${cacheDirectory}pglite-${version}-${name}.tar`
  const known = await readFile(file).catch(() => undefined)
  if (known) return new Blob([known])
  const dump = await make()
  await mkdir(cacheDirectory, { recursive: true })
  const aside = `${file}.${process.pid}`
  try {
    await writeFile(aside, Buffer.from(await dump.arrayBuffer()))
    await rename(aside, file)
  } finally {
    await rm(aside, { force: true })
  }
  return dump
}
