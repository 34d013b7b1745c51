import { execFile } from 'node:child_process'
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import process from 'node:process'
import { promisify } from 'node:util'
import { expect, it, onTestFinished } from 'vitest'
import { postgresStores } from '../control-plane/src/stores/postgres/postgres-stores.ts'
import { anActor } from '../control-plane/src/testing/actor.ts'
import { aSpec } from '../control-plane/src/testing/spec.ts'
import { migrate, readMigrations } from './migrate.ts'
import { openPGlite } from './neon-proxy/pglite-backend.ts'
import { emptyDatabase } from './neon-proxy/pglite-template.ts'
import { startNeonProxy } from './neon-proxy/server.ts'

const repository = fileURLToPath(new URL('..', import.meta.url))

async function setup() {
  const backend = await openPGlite(undefined, await emptyDatabase())
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

it('keeps what waited, ran and had ended before there were lanes', async () => {
  const { backend, connection } = await setup()
  const run = (sql: string) => backend.query({ sql, params: [] })
  const all = await readMigrations()
  await migrate(connection, all.slice(0, 2))
  await run(`insert into clusters (id, created_at) values ('home', now())`)
  await run(`insert into projects (id, cluster_id, pod, created_at, updated_at) values ('demo', 'home', 'demo-pod', now(), now())`)
  await run(`insert into sessions (id, project_id, provider, provider_session_id, pod, created_at, updated_at)
    values ('session_1', 'demo', 'claude-code', 'told', 'demo-pod', now(), now())`)
  const { workspace: _, run_after: __, ...spec } = aSpec()
  const task = (id: string, more: Readonly<Record<string, string>> = {}) => {
    const row = {
      id,
      project_id: 'demo',
      kind: 'shell',
      target: 'project',
      priority: '100',
      timeout_s: '60',
      spec: JSON.stringify(spec),
      created_by: 'key_1',
      created_at: '2026-01-01T00:00:00Z',
      cluster_id: 'home',
      lane: 'demo',
      status: 'queued',
      run_after: '2026-01-01T00:00:00Z',
      ...more,
    }
    const values = Object.values(row).map((value) => `'${value}'`)
    return run(`insert into tasks (${Object.keys(row).join(', ')}) values (${values.join(', ')})`)
  }
  const live = { attempt: '1', pod: 'demo-pod', claim_id: 'before', lease_until: '2026-01-01T00:01:00Z' }
  await task('task_1')
  await task('task_2', { target: 'pool' })
  await task('task_3', { session_id: 'session_1' })
  await task('task_4', { status: 'running', started_at: '2026-01-01T00:00:01Z', ...live })
  await task('task_5', { status: 'succeeded', finished_at: '2026-01-01T00:01:00Z', attempt: '1', pod: 'demo-pod' })
  expect(await migrate(connection)).toEqual(all.slice(2).map(({ tag }) => tag))

  const stores = postgresStores({ ...connection, clock: { now: () => Date.now() } })
  const { data } = await stores.tasks.list({ projects: null }, { limit: 10 })
  expect(data.map(({ id, status }) => `${id} ${status}`)).toEqual([
    'task_5 succeeded',
    'task_4 running',
    'task_3 queued',
    'task_2 queued',
    'task_1 queued',
  ])
  expect(data.map(({ spec }) => spec)).toEqual(data.map(({ spec: { target, session_id } }) => ({ ...aSpec(), target, session_id })))
  const { generation, live: found } = await stores.dispatch.takeOver('home', 1)
  expect(found.map(({ task }) => [task.id, task.pod, task.pod_uid])).toEqual([['task_4', 'demo-pod', null]])
  const slots = [
    ...Array.from({ length: 3 }, () => ({ pod: 'demo-pod', pod_uid: 'uid-1', project_id: 'demo' })),
    { pod: 'worker', pod_uid: 'uid-2', project_id: null },
  ]
  const claim = (number: number) =>
    stores.dispatch.claim({ clusterId: 'home', claimId: `now ${number}`, keyId: null, slots, leaseMs: 60_000, generation, number })
  // What waited for the pool waits on, because nobody has said yet that the project may use it.
  const first = await claim(1)
  expect(first.map(({ task }) => task.id)).toEqual(['task_1', 'task_3'])
  expect(await stores.projects.change('demo', anActor(), { allow_pool: true })).toMatchObject({ allow_pool: true })
  const claimed = [...first, ...(await claim(2))].toSorted((a, b) => (a.task.id < b.task.id ? -1 : 1))
  expect(claimed.map(({ task, provider_session_id }) => [task.id, task.pod, provider_session_id])).toEqual([
    ['task_1', 'demo-pod', null],
    ['task_2', 'worker', null],
    ['task_3', 'demo-pod', 'told'],
  ])
})

it('is what the schema says: nothing is left to generate', async () => {
  const out = await mkdtemp(join(tmpdir(), 'rdev-migrations-'))
  onTestFinished(() => rm(out, { recursive: true, force: true }))
  await cp(`${repository}migrations`, out, { recursive: true })
  const before = await readdir(out)
  const schema = './control-plane/src/stores/postgres/schema.ts'
  // drizzle-kit takes only relative paths.
  const args = ['generate', '--dialect', 'postgresql', '--schema', schema, '--out', relative(repository, out)]
  // The loader that drizzle-kit carries leaves a folder where temporary files go.
  const temporary = await mkdtemp(join(tmpdir(), 'rdev-drizzle-'))
  onTestFinished(() => rm(temporary, { recursive: true, force: true }))
  const options = { cwd: repository, env: { ...process.env, TMPDIR: temporary } }
  const { stdout } = await promisify(execFile)(`${repository}node_modules/.bin/drizzle-kit`, args, options)
  expect(stdout).toContain('No schema changes')
  expect(await readdir(out)).toEqual(before)
})
