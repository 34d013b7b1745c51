import { execFile } from 'node:child_process'
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it, onTestFinished } from 'vitest'
import { migrate, readMigrations } from './migrate.ts'
import { openPGlite } from './neon-proxy/pglite-backend.ts'
import { startNeonProxy } from './neon-proxy/server.ts'

const repository = fileURLToPath(new URL('..', import.meta.url))

async function setup() {
  const backend = await openPGlite()
  const proxy = await startNeonProxy({ backend, host: '127.0.0.1', port: 0 })
  onTestFinished(async () => {
    await proxy.close()
    await backend.close()
  })
  return { backend, connection: { databaseUrl: proxy.connectionString, fetchEndpoint: proxy.url } }
}

it('applies every migration once, also when two begin at once', async () => {
  const { backend, connection } = await setup()
  const tags = (await readMigrations()).map(({ tag }) => tag)
  const applied = (await Promise.all([migrate(connection), migrate(connection)])).flat()
  expect(applied.toSorted()).toEqual(tags.toSorted())
  expect(await migrate(connection)).toEqual([])
  const recorded = await backend.query({ sql: 'select hash from drizzle.__drizzle_migrations order by id', params: [] })
  expect(recorded.rows.flat()).toEqual((await readMigrations()).map(({ hash }) => hash))
})

it('has nothing left of a migration that failed', async () => {
  const { backend, connection } = await setup()
  await backend.query({ sql: 'create table sessions (x int)', params: [] })
  await expect(migrate(connection)).rejects.toThrow('migration 0000_tables failed')
  const tables = await backend.query({
    sql: `select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace`,
    params: [],
  })
  expect(tables.rows).toEqual([['sessions']])
  await backend.query({ sql: 'drop table sessions', params: [] })
  expect(await migrate(connection)).toHaveLength((await readMigrations()).length)
})

it('is what the schema says: nothing is left to generate', async () => {
  const out = await mkdtemp(join(tmpdir(), 'rdev-migrations-'))
  onTestFinished(() => rm(out, { recursive: true, force: true }))
  await cp(`${repository}migrations`, out, { recursive: true })
  const before = await readdir(out)
  const schema = './control-plane/src/stores/schema.ts'
  // drizzle-kit takes relative paths only.
  const args = ['generate', '--dialect', 'postgresql', '--schema', schema, '--out', relative(repository, out)]
  const { stdout } = await promisify(execFile)(`${repository}node_modules/.bin/drizzle-kit`, args, { cwd: repository })
  expect(stdout).toContain('No schema changes')
  expect(await readdir(out)).toEqual(before)
})
