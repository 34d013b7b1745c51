// The contract suite of the stores on Postgres: PGlite, or the server that RDEV_TEST_POSTGRES_URL names, both through Neon's protocol. And what
// only the tables show: the history of attempts, writes that must not happen, no open transaction.

import { readdir, readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { outcome } from '@rdev/shared/domain/task'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { storesContract } from '../control-plane/src/stores/contract/contract.ts'
import { contractSetup, demoSlots, pod, refOf } from '../control-plane/src/stores/contract/setup.ts'
import type { Contract } from '../control-plane/src/stores/contract/setup.ts'
import { postgresStores } from '../control-plane/src/stores/postgres/postgres-stores.ts'
import { migrate } from './migrate.ts'
import { realPostgresUrl, testPostgres } from './postgres-test.ts'
import type { TestPostgres } from './postgres-test.ts'

const clock = { now: () => Date.now() }
const name = realPostgresUrl === undefined ? 'Postgres (PGlite)' : 'Postgres (a server)'

async function open() {
  const postgres = await testPostgres()
  const stores = postgresStores({ ...postgres, clock })
  return { postgres, stores, reset: postgres.reset, close: postgres.close }
}

storesContract(name, async () => {
  const under = await open()
  return {
    ...under,
    close: async () => {
      // No test may leave an open transaction or a lock.
      const locks = `select l.* from pg_locks l join pg_database d on d.oid = l.database where locktype = 'advisory' and datname = current_database()`
      expect(await under.postgres.rows(locks)).toEqual([])
      const busy = `select state from pg_stat_activity where datname = current_database() and state like 'idle in%'`
      expect(await under.postgres.rows(busy)).toEqual([])
      await under.close()
    },
  }
})

describe(`tables of ${name}`, () => {
  let postgres: TestPostgres
  let under: Awaited<ReturnType<typeof open>>
  let t: Contract
  beforeAll(async () => {
    under = await open()
    postgres = under.postgres
  })
  beforeEach(async () => {
    await under.reset()
    t = await contractSetup(under)
  })
  afterAll(() => under?.close())

  it('keep a row for every attempt, with how it ended', async () => {
    await t.add()
    const first = await t.lease()
    await t.dispatch.requeue([refOf(first)], Date.now())
    const second = await t.run()
    await t.dispatch.finish(refOf(second), outcome('failed', { exit_code: 3, error_code: 'AGENT_ERROR', duration_ms: 5 }), Date.now())
    const third = await t.lease()
    await t.end(third, 'succeeded', { exit_code: 0, duration_ms: 5 })
    const history = await postgres.rows(
      `select n, status, exit_code, error_code, pod, pod_uid, started_at is not null as started, ended_at is not null as ended from attempts order by n`,
    )
    const row = { exit_code: null, error_code: null, pod: 'demo-pod', pod_uid: 'uid-demo-pod', ended: 't' }
    expect(history).toEqual([
      { ...row, n: '1', status: 'requeued', started: 'f' },
      { ...row, n: '2', status: 'failed', exit_code: '3', error_code: 'AGENT_ERROR', started: 't' },
      { ...row, n: '3', status: 'succeeded', exit_code: '0', started: 't' },
    ])
  })

  // What is written with an end is written there; task-statements.test.ts shows it of each statement.
  it('are ended by the statements of one file only', async () => {
    const folder = new URL('../control-plane/src/stores/postgres/', import.meta.url)
    const files = (await readdir(folder)).filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    const ending = await Promise.all(
      files.map(async (name) => (/finished_at\s*[:=]/.test(await readFile(new URL(name, folder), 'utf8')) ? [name] : [])),
    )
    expect(ending.flat().sort()).toEqual(['schema.ts', 'task-statements.ts'])
  })

  it('are not written by a report that says nothing new', async () => {
    const versions = () =>
      postgres.rows(`select 'p' || id as id, xmin, xmax from projects union all select 'c' || id, xmin, xmax from clusters order by 1`)
    const before = await versions()
    for (let i = 0; i < 3; i++) await t.projects.report('home', [pod('demo-pod', 'demo'), pod('other-pod', 'other')], [])
    expect(await versions()).toEqual(before)
  })

  it('refuse rows that the domain does not know', async () => {
    const task = await t.add()
    const breaks = (set: string) => postgres.rows(`update tasks set ${set} where id = $1`, [task.id])
    for (const [set, constraint] of [
      [`status = 'done'`, 'tasks_status'],
      [`attempt = -1`, 'tasks_attempt'],
      [`priority = 1001`, 'tasks_priority'],
      [`timeout_s = 0.5`, 'tasks_timeout'],
      [`status = 'failed'`, 'tasks_finished'],
      [`finished_at = now()`, 'tasks_finished'],
      [`status = 'leased', attempt = 1, pod = 'p', claim_id = 'c'`, 'tasks_leased'],
      [`status = 'leased', attempt = 1, lease_until = now(), claim_id = 'c'`, 'tasks_live'],
      [`status = 'running', attempt = 1, lease_until = now(), claim_id = 'c', pod = 'p'`, 'tasks_running'],
    ] as const) {
      await expect(breaks(set), set).rejects.toMatchObject({ fields: { constraint } })
    }
  })

  it('never hold two live tasks of a session, whatever writes them', async () => {
    const { session_id } = await t.converse()
    await t.add({ kind: 'agent', provider: 'claude-code', prompt: 'x', session_id })
    const force = `update tasks set status = 'leased', attempt = 1, pod = 'p', claim_id = 'c', lease_until = now()`
    await expect(postgres.rows(force)).rejects.toMatchObject({ fields: { constraint: 'tasks_live_session' } })
  })

  it('never hold two live tasks of a workspace, whatever writes them', async () => {
    for (const project_id of ['demo', 'demo', 'other']) await t.add({ project_id, workspace: 'main' })
    const force = (project: string) =>
      postgres.rows(
        `update tasks set status = 'leased', attempt = 1, pod = 'p', claim_id = 'c', lease_until = now() where project_id = $1`,
        [project],
      )
    await force('other')
    await expect(force('demo')).rejects.toMatchObject({ fields: { constraint: 'tasks_live_workspace' } })
  })

  it('end a page early rather than answer too much at once', async () => {
    for (let i = 0; i < 5; i++) {
      await t.add()
      await t.end(await t.lease(), 'succeeded', { result: 'x'.repeat(3 * 1024 * 1024) })
    }
    const sizes: number[] = []
    let cursor: string | null | undefined
    do {
      const page = await t.tasks.list({ projects: null }, { limit: 5, cursor: cursor ?? undefined })
      sizes.push(page.data.length)
      cursor = page.next_cursor
    } while (cursor !== null)
    expect(sizes).toEqual([3, 2])
  })

  it('find a claim without reading the whole queue', async () => {
    const columns = `id, project_id, kind, target, priority, timeout_s, spec, created_by, created_at, cluster_id, lane, turn, status, run_after`
    const task = await t.add()
    const bulk = `insert into tasks (${columns}) select 'task_' || n, 'demo', 'shell', 'project', 500, 60, spec, 'k', now(), 'home', 'demo', 'project', 'queued', now()
      from tasks, generate_series(1, 5000) n where id = $1`
    await postgres.rows(bulk, [task.id])
    expect((await t.claim(demoSlots(4))).length).toBe(4)
    const [read] =
      await postgres.rows(`explain (format json) select id from tasks t where cluster_id = 'home' and lane = 'demo' and turn = 'project' and priority = 500
      and status = 'queued' and run_after <= now() order by cluster_id, lane, turn, priority, run_after, id limit 4`)
    expect(Object.values(read!)[0]).toContain('tasks_queued_turn')
  })

  it('migrate again without a change', async () => {
    expect(await migrate(postgres)).toEqual([])
    expect((await Promise.all([migrate(postgres), migrate(postgres)])).flat()).toEqual([])
  })

  it('bound every statement in time', async () => {
    const settings =
      await postgres.rows(`select unnest(setconfig) as setting from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase
      where d.datname = current_database()`)
    expect(settings).toContainEqual({ setting: 'statement_timeout=5s' })
  })
})

describe('a database that cannot be asked', () => {
  it('is said to be away, whatever was asked', async () => {
    const stores = postgresStores({ databaseUrl: 'postgres://u:p@db.invalid:1/x', fetchEndpoint: 'http://127.0.0.1:1/sql', clock })
    const away = { name: 'DomainError', code: 'SERVICE_UNAVAILABLE' }
    await expect(stores.tasks.get('task_x', null)).rejects.toMatchObject(away)
    await expect(
      stores.dispatch.claim({ clusterId: 'c', claimId: 'x', keyId: null, slots: [], leaseMs: 1, generation: 1, number: 1 }),
    ).rejects.toMatchObject(away)
    await expect(stores.dispatch.finish({ task_id: 'x', attempt: 1 }, outcome('lost'), null)).rejects.toMatchObject(away)
    await expect(stores.keys.findByPrefix('x')).rejects.toMatchObject(away)
    expect(await stores.ready()).toBe(false)
  })

  it('is given up when it says nothing', async () => {
    const server = createServer(() => {})
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    const stores = postgresStores({
      databaseUrl: 'postgres://u:p@silent.invalid/x',
      fetchEndpoint: `http://127.0.0.1:${address.port}/sql`,
      requestDeadlineMs: 100,
      clock,
    })
    await expect(stores.clusters.list()).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' })
    server.close()
  })

  it('is not what a wrong statement means, and the words of that hold nothing of a caller', async () => {
    const postgres = await testPostgres()
    const stores = postgresStores({ ...postgres, clock })
    const t = await contractSetup({ stores, reset: postgres.reset, close: postgres.close })
    const secret = 'a prompt that nobody shall see'
    const refused: unknown = await t.add({ priority: 5_000, prompt: secret }).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(Error)
    const message: unknown = expect.stringContaining('SQLSTATE 23514 tasks tasks_priority')
    expect(refused).toMatchObject({ name: 'StoreRefusal', why: 'data', message })
    expect(`${String(refused)} ${(refused as Error).stack} ${String((refused as Error).cause)}`).not.toContain(secret)
    await postgres.close()
  })
})
