// Brings a database up to date: the migrations of /migrations in the order of their journal, each in one transaction together with its
// record in drizzle's own table, under a lock, so that two programs that migrate at the same time do it once. Safe to repeat.
// As a program: DATABASE_URL=… [NEON_FETCH_ENDPOINT=…] node dev/migrate.ts

import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { neonClient } from '../control-plane/src/stores/postgres/database.ts'
import type { Connection } from '../control-plane/src/stores/postgres/database.ts'

const folder = fileURLToPath(new URL('../migrations/', import.meta.url))
/** The id of the advisory lock: any number, the same for every program that migrates. */
const lockKey = 7_244_101
/** The error code that the transaction raises if another program was faster. */
const alreadyApplied = 'RDEV1'

interface Migration {
  readonly tag: string
  readonly when: number
  readonly hash: string
  readonly statements: readonly string[]
}

export async function readMigrations(): Promise<readonly Migration[]> {
  const journal: { entries: { tag: string; when: number }[] } = JSON.parse(await readFile(`${folder}meta/_journal.json`, 'utf8'))
  return Promise.all(
    journal.entries.map(async ({ tag, when }) => {
      const text = await readFile(`${folder}${tag}.sql`, 'utf8')
      const statements = text.split('--> statement-breakpoint').filter((statement) => statement.trim() !== '')
      return { tag, when, statements, hash: createHash('sha256').update(text).digest('hex') }
    }),
  )
}

/** Applies the migrations of the folder, or the given ones. Answers the tags of those that it applied. Throws if one fails. */
export async function migrate(connection: Connection, migrations?: readonly Migration[]): Promise<readonly string[]> {
  const sql = neonClient(connection)
  await sql.transaction([
    sql`SELECT pg_advisory_xact_lock(${lockKey}::bigint)`,
    sql`CREATE SCHEMA IF NOT EXISTS drizzle`,
    sql`CREATE TABLE IF NOT EXISTS drizzle.__drizzle_migrations (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at bigint)`,
  ])
  const { rows } = await sql`SELECT hash FROM drizzle.__drizzle_migrations`
  const known = new Set(rows.map((row) => row.hash))

  const applied: string[] = []
  for (const { tag, when, hash, statements } of migrations ?? (await readMigrations())) {
    if (known.has(hash)) continue
    const guard = `DO $$ BEGIN IF EXISTS (SELECT FROM drizzle.__drizzle_migrations WHERE hash = '${hash}') THEN
      RAISE EXCEPTION 'already applied' USING ERRCODE = '${alreadyApplied}'; END IF; END $$`
    try {
      await sql.transaction([
        sql`SET LOCAL statement_timeout = 0`,
        sql`SELECT pg_advisory_xact_lock(${lockKey}::bigint)`,
        sql.query(guard),
        ...statements.map((statement) => sql.query(statement)),
        sql`INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES (${hash}, ${when})`,
      ])
      applied.push(tag)
    } catch (error) {
      if ((error as { code?: string }).code !== alreadyApplied) throw new Error(`migration ${tag} failed`, { cause: error })
    }
  }
  return applied
}

if (import.meta.main) {
  const { DATABASE_URL: databaseUrl, NEON_FETCH_ENDPOINT: fetchEndpoint } = process.env
  if (!databaseUrl) throw new Error('DATABASE_URL is not set')
  const applied = await migrate({ databaseUrl, fetchEndpoint })
  console.log(applied.length === 0 ? 'nothing to apply' : `applied ${applied.join(', ')}`)
}
