// One suite for both backends. The part for a real server runs if RDEV_TEST_POSTGRES_URL names one.
import { neon, NeonDbError, neonConfig } from '@neondatabase/serverless'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SqlBackend } from './backend.ts'
import { openPg } from './pg-backend.ts'
import { openPGlite } from './pglite-backend.ts'
import { emptyDatabase } from './pglite-template.ts'
import { startNeonProxy } from './server.ts'
import type { NeonProxy } from './server.ts'

const realUrl = process.env.RDEV_TEST_POSTGRES_URL

async function setup(open: () => Promise<SqlBackend>) {
  const backend = await open()
  const proxy = await startNeonProxy({ backend, host: '127.0.0.1', port: 0 })
  // The driver has one endpoint for the whole program, and other files of tests are in this program too.
  const endpointBefore = neonConfig.fetchEndpoint
  neonConfig.fetchEndpoint = proxy.url
  const sql = neon(proxy.connectionString, { fullResults: true })
  const schema = `proxy_test_${process.pid}_${Date.now()}`
  await sql.query(`create schema ${schema}`)
  const table = `${schema}.t`
  await sql.query(`create table ${table} (id int primary key, name text not null, constraint name_short check (length(name) < 9))`)
  return {
    proxy,
    sql,
    table,
    post: (body: string, headers: Record<string, string> = {}) =>
      fetch(proxy.url, {
        method: 'POST',
        body,
        headers: {
          'Neon-Connection-String': proxy.connectionString,
          'Neon-Raw-Text-Output': 'true',
          'Neon-Array-Mode': 'true',
          ...headers,
        },
      }),
    names: async () => (await sql.query(`select name from ${table} order by id`)).rows.map((row) => row.name),
    close: async () => {
      await sql.query(`drop schema ${schema} cascade`)
      neonConfig.fetchEndpoint = endpointBefore
      await proxy.close()
      await backend.close()
    },
  }
}

// The suite `postgres` brings the second side.
const sides: [name: string, open: () => Promise<SqlBackend>][] = [['PGlite', async () => openPGlite(undefined, await emptyDatabase())]]
if (realUrl !== undefined) sides.push(['a PostgreSQL server', () => openPg(realUrl)])

describe.each(sides)("Neon's protocol on %s", (_, open) => {
  let t: Awaited<ReturnType<typeof setup>>
  beforeAll(async () => {
    t = await setup(open)
  })
  afterAll(() => t.close())

  it('answers values that the driver parses as those of a real server', async () => {
    const { rows, fields, command, rowCount } = await t.sql`select ${1}::int as i, ${'ü'}::text as t, null::text as n, true as b,
      1.5::float8 as f, 12345678901234567890::numeric as d, ${JSON.stringify({ a: [1] })}::json as j, array['x','y']::text[] as l`
    expect(rows).toEqual([{ i: 1, t: 'ü', n: null, b: true, f: 1.5, d: '12345678901234567890', j: { a: [1] }, l: ['x', 'y'] }])
    expect(fields.map((field) => [field.name, field.dataTypeID]).slice(0, 2)).toEqual([
      ['i', 23],
      ['t', 25],
    ])
    expect([command, rowCount]).toEqual(['SELECT', 1])
  })

  it('tells how many rows a change touched, and infers the types of parameters', async () => {
    const inserted = await t.sql.query(`insert into ${t.table} values ($1, $2), ($3, $4)`, [101, 'a', 102, 'b'])
    expect([inserted.command, inserted.rowCount, inserted.rows]).toEqual(['INSERT', 2, []])
    const removed = await t.sql.query(`delete from ${t.table} where id > $1 returning name`, [100])
    expect([removed.command, removed.rowCount, removed.rows]).toEqual(['DELETE', 2, [{ name: 'a' }, { name: 'b' }]])
  })

  it('hands on the code, position and names of an error', async () => {
    const syntax = await t.sql`select 1 from nowhere`.catch((error: unknown) => error)
    expect(syntax).toBeInstanceOf(NeonDbError)
    expect(syntax).toMatchObject({ code: '42P01', severity: 'ERROR', position: '15', message: 'relation "nowhere" does not exist' })
    const check = await t.sql.query(`insert into ${t.table} values (1, 'far too long')`).catch((error: unknown) => error)
    expect(check).toMatchObject({ code: '23514', constraint: 'name_short', table: 't' })
    expect((check as NeonDbError).detail).toContain('Failing row')
    const missing = await t.sql.query(`insert into ${t.table} values (1, null)`).catch((error: unknown) => error)
    expect(missing).toMatchObject({ code: '23502', column: 'name' })
  })

  it('goes on after an error, with the same statement too', async () => {
    const divide = (by: number) => t.sql`select 10 / ${by}::int as q`
    expect((await divide(2)).rows).toEqual([{ q: 5 }])
    await expect(divide(0)).rejects.toMatchObject({ code: '22012' })
    expect((await divide(5)).rows).toEqual([{ q: 2 }])
    await expect(t.sql`select ${'x'}::int as q`).rejects.toMatchObject({ code: '22P02' })
    expect((await t.sql`select ${'7'}::int as q`).rows).toEqual([{ q: 7 }])
  })

  it('refuses several statements in one text', async () => {
    await expect(t.sql.query('select 1; select 2')).rejects.toMatchObject({ code: '42601' })
  })

  it('forgets how a statement looked when its table changes', async () => {
    await t.sql.query(`create table ${t.table}_moving (a int)`)
    expect((await t.sql.query(`select * from ${t.table}_moving`)).fields).toHaveLength(1)
    await t.sql.query(`alter table ${t.table}_moving add column b int`)
    expect((await t.sql.query(`select * from ${t.table}_moving`)).fields).toHaveLength(2)
  })

  it('commits a batch as one transaction, or none of it', async () => {
    const insert = (id: number, name: string) => t.sql.query(`insert into ${t.table} values ($1, $2)`, [id, name])
    const [first, second] = await t.sql.transaction([insert(1, 'one'), t.sql.query(`select count(*)::int as n from ${t.table}`)])
    expect(first?.rowCount).toBe(1)
    expect(second?.rows).toEqual([{ n: 1 }])
    await expect(t.sql.transaction([insert(2, 'two'), insert(1, 'again'), insert(3, 'three')])).rejects.toMatchObject({ code: '23505' })
    expect(await t.names()).toEqual(['one'])
    await expect(t.sql.transaction([insert(4, 'four'), t.sql.query('select nothing')])).rejects.toMatchObject({ code: '42703' })
    expect(await t.names()).toEqual(['one'])
    // Not left in a transaction.
    expect((await t.sql`select pg_current_xact_id_if_assigned() as xid`).rows).toEqual([{ xid: null }])
  })

  it('says no at the commit when a deferred constraint does', async () => {
    await t.sql.query(`create table ${t.table}_later (id int, unique (id) deferrable initially deferred)`)
    const insert = t.sql.query(`insert into ${t.table}_later values (1)`)
    await expect(t.sql.transaction([insert, t.sql.query(`insert into ${t.table}_later values (1)`)])).rejects.toMatchObject({
      code: '23505',
    })
    expect((await t.sql.query(`select from ${t.table}_later`)).rowCount).toBe(0)
  })

  it('opens a batch as it is asked to', async () => {
    const settings =
      () => t.sql`select current_setting('transaction_isolation') as isolation, current_setting('transaction_read_only') as ro,
      current_setting('transaction_deferrable') as deferrable`
    const [plain] = await t.sql.transaction([settings()])
    expect(plain?.rows).toEqual([{ isolation: 'read committed', ro: 'off', deferrable: 'off' }])
    const [strict] = await t.sql.transaction([settings()], { isolationLevel: 'Serializable', readOnly: true, deferrable: true })
    expect(strict?.rows).toEqual([{ isolation: 'serializable', ro: 'on', deferrable: 'on' }])
    const write = t.sql.query(`insert into ${t.table} values (50, 'x')`)
    await expect(t.sql.transaction([write], { readOnly: true })).rejects.toMatchObject({ code: '25006' })
  })

  it('serves many at once', async () => {
    const answers = await Promise.all(Array.from({ length: 60 }, (_, i) => t.sql`select ${i}::int as i, ${i % 3}::text as mod`))
    expect(answers.map((answer) => answer.rows[0]?.i)).toEqual(Array.from({ length: 60 }, (_, i) => i))
  })

  it('carries megabytes both ways', async () => {
    const text = 'wörter '.repeat(400_000)
    expect((await t.sql`select ${text}::text as text, length(${text}::text) as n`).rows).toEqual([{ text, n: text.length }])
  })

  it('says what is wrong with a request that it cannot read', async () => {
    const told = async (response: Response) => [response.status, (await response.json()).message]
    expect(await told(await t.post('{"query": '))).toEqual([400, 'the body is not JSON'])
    expect(await told(await t.post('[]'))).toEqual([400, 'the body must be a JSON object'])
    expect(await told(await t.post('{"query": 1}'))).toEqual([400, 'query must be a string'])
    expect(await told(await t.post('{}'))).toEqual([400, 'the body must have query or queries'])
    expect(await told(await t.post('{"queries": []}', { 'Neon-Batch-Isolation-Level': 'Chaos' }))).toEqual([
      400,
      'Neon-Batch-Isolation-Level is not one of PostgreSQL’s',
    ])
    expect((await t.post(`{"query": "${'x'.repeat(17 * 1024 * 1024)}"}`)).status).toBe(413)
    expect((await fetch(t.proxy.url)).status).toBe(405)
    expect((await fetch(t.proxy.url.replace('/sql', '/'))).status).toBe(404)
    // It serves on.
    expect((await t.sql`select 1 as one`).rows).toEqual([{ one: 1 }])
  })

  it('answers objects when arrays were not asked for', async () => {
    const response = await t.post('{"query": "select 1 as a, null as b"}', { 'Neon-Array-Mode': 'false' })
    expect(await response.json()).toMatchObject({ rows: [{ a: '1', b: null }], rowAsArray: false, command: 'SELECT', rowCount: 1 })
  })

  it('serves only those who know the connection string', async () => {
    const wrong = t.proxy.connectionString.replace(/:[0-9a-f]+@/, ':guess@')
    const response = await t.post('{"query": "select 1"}', { 'Neon-Connection-String': wrong })
    expect([response.status, (await response.json()).code]).toEqual([400, '28P01'])
    expect((await t.post('{"query": "select 1"}', { 'Neon-Connection-String': 'nonsense' })).status).toBe(400)
  })
})

it('answers 503 when what is behind it is away', async () => {
  const backend = await openPg('postgres://nobody@127.0.0.1:1/none')
  const proxy: NeonProxy = await startNeonProxy({ backend, host: '127.0.0.1', port: 0 })
  const headers = { 'Neon-Connection-String': proxy.connectionString, 'Neon-Raw-Text-Output': 'true' }
  const response = await fetch(proxy.url, { method: 'POST', body: '{"query":"select 1"}', headers })
  expect([response.status, (await response.json()).message]).toEqual([503, expect.stringContaining('the database is away')])
  await proxy.close()
  await backend.close()
})

// PGlite has no connections that could be lost.
if (realUrl !== undefined) {
  it('serves on when a connection dies inside a batch', async () => {
    const t = await setup(() => openPg(realUrl))
    const dies = t.sql.transaction([t.sql`select pg_terminate_backend(pg_backend_pid())`, t.sql`select 1`])
    await expect(dies).rejects.toMatchObject({ code: '57P01' })
    expect((await t.sql`select 1 as one`).rows).toEqual([{ one: 1 }])
    await t.close()
  })
}
