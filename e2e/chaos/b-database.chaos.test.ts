// Faults of the database, a PostgreSQL server of its own. Attempts go on; results are written when the database is back; a statement whose answer
// was lost after the commit is repeated and changes nothing.
import { writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect } from 'vitest'
import type { TaskEvent } from '@rdev/shared/domain/event'
import { databaseProxy, statements } from './database-proxy.ts'
import type { DatabaseProxy } from './database-proxy.ts'
import { ownPostgres } from './postgres.ts'
import type { PostgresServer } from './postgres.ts'
import { setup, teardown } from './setup.ts'
import type { Chaos } from './setup.ts'
import { scenario } from './table.ts'

let postgres: PostgresServer
let database: DatabaseProxy
let chaos: Chaos

beforeAll(async () => {
  postgres = await ownPostgres()
  database = await databaseProxy()
  chaos = await setup({ slots: 25, database: { serverUrl: postgres.url }, databaseVia: database.via })
  await rows(`update projects set max_running = 100`)
})
afterAll(async () => {
  await teardown(chaos)
  await database?.[Symbol.asyncDispose]()
  await postgres?.[Symbol.asyncDispose]()
})

const rows = (sql: string) => postgres.rows(sql, chaos.databaseUrl)
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** A file that a task waits for. */
const gate = (name: string) => `${chaos.ledger.directory}/go-${name}`
const ticking = (name: string) =>
  chaos.ledger.scripts.body(`n=0; until [ -e ${gate(name)} ]; do say "tick $((n += 1))"; sleep 1; done; say over`)
const printed = (text: string) => (event: TaskEvent) => event.type === 'output' && String(event.data.text).includes(text)

async function expect503(method: string, path: string, body?: unknown) {
  const response = await chaos.client.fetch(method, path, { body })
  expect([response.status, response.headers.get('content-type')]).toEqual([503, 'application/problem+json'])
  expect(await response.json()).toMatchObject({ code: 'SERVICE_UNAVAILABLE', status: 503 })
}

scenario(
  20,
  'the PostgreSQL server dies under 50 live attempts: they and their streams go on, the API answers 503, every result is written after',
  'result held in the task log',
  async () => {
    const tasks = await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        const when = i % 2 === 0 ? 'during' : 'after'
        const { id } = await chaos.script(ticking(when))
        return { id, when, reader: chaos.follow(id) }
      }),
    )
    await Promise.all(tasks.map(({ reader }) => reader.until(printed('tick 1\n'))))
    await postgres.kill()
    const seen = tasks.map(({ reader }) => reader.events.length)
    await expect503('GET', `/v1/tasks/${tasks[0]?.id}`)
    await expect503('POST', '/v1/tasks', { kind: 'shell', project_id: 'demo', command: 'true' })
    await Promise.all(tasks.map(({ reader }, i) => reader.until(({ seq }) => seq >= (seen[i] ?? 0) + 2)))
    const refused = database.answered(statements.finish, tasks.length / 2)
    await writeFile(gate('during'), '')
    // These attempts have ended, and only their logs know.
    await Promise.all(tasks.map(({ when, reader }) => when === 'during' && reader.until(printed('over'))))
    await refused
    expect(tasks.filter(({ reader }) => reader.events.at(-1)?.type === 'task.finished')).toEqual([])

    await postgres.start()
    await writeFile(gate('after'), '')
    const { tasks: ended } = await chaos.verdict()
    expect(ended.map(({ status, attempt }) => `${status} ${attempt}`)).toEqual(tasks.map(() => 'succeeded 1'))
  },
)

scenario(
  21,
  'the answer of a claim is lost after its commit, three times: the same claim is asked again, the attempt starts once',
  'claim_id',
  async () => {
    const loss = database.lose('answer', statements.claim, 3)
    const { id } = await chaos.script(chaos.ledger.scripts.quick())
    await chaos.follow(id).done
    expect(loss.times).toBe(3)
    const { tasks } = await chaos.verdict()
    expect(tasks).toMatchObject([{ status: 'succeeded', attempt: 1 }])
    expect(await rows(`select n, status from attempts where task_id = '${id}'`)).toEqual([{ n: 1, status: 'succeeded' }])
  },
)

scenario(
  22,
  'the answer of a finish is lost after its commit, twice: it is repeated, and the first end stays',
  'finish repeated from the task log',
  async () => {
    const loss = database.lose('answer', statements.finish, 2)
    const { id } = await chaos.script(chaos.ledger.scripts.quick(3))
    await chaos.follow(id).done
    expect(loss.times).toBe(2)
    const { tasks } = await chaos.verdict()
    expect(tasks).toMatchObject([{ status: 'failed', attempt: 1, exit_code: 3 }])
    expect(await rows(`select n, status from attempts where task_id = '${id}'`)).toEqual([{ n: 1, status: 'failed' }])
  },
)

scenario(
  22,
  'the request of a finish is lost before it reached the database, twice: it is repeated',
  'finish repeated from the task log',
  async () => {
    const loss = database.lose('request', statements.finish, 2)
    const { id } = await chaos.script(chaos.ledger.scripts.quick())
    await chaos.follow(id).done
    expect(loss.times).toBe(2)
    const { tasks } = await chaos.verdict()
    expect(tasks).toMatchObject([{ status: 'succeeded', attempt: 1 }])
  },
)

scenario(
  23,
  'connections of the database are ended all the time while tasks stream in: what was accepted ends once, and so does what was not answered',
  'statements that are safe to repeat',
  async () => {
    const over = new AbortController()
    let ended = 0
    const ending = (async () => {
      while (!over.signal.aborted) {
        ended += await postgres.terminateBackends()
        // The pauses must let a request with three statements succeed sometimes.
        await sleep(Math.random() * 150)
      }
    })()
    const script = chaos.ledger.scripts.quick()
    const body = { kind: 'shell', project_id: 'demo', target: 'pool', command: script, metadata: { scenario: 23 } }
    let accepted = 0
    let refused = 0
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (let left = 3; left > 0;) {
          const response = await chaos.client.fetch('POST', '/v1/tasks', { body })
          if (response.status === 202) accepted++
          else expect(await response.json()).toMatchObject({ code: 'SERVICE_UNAVAILABLE' })
          if (response.status === 202) left--
          else refused++
        }
      }),
    )
    // After a 503 the row may be written or not; if it is, it counts like any other. They end during the same faults.
    const ids = async (more = '') =>
      (await rows(`select id from tasks where spec->'metadata'->>'scenario' = '23' ${more} order by id`)).map(({ id }) => String(id))
    while ((await ids('and finished_at is null')).length > 0) await sleep(100)
    over.abort()
    await ending
    console.log(`23: ${accepted} tasks accepted, ${refused} answered 503, ${ended} connections ended`)
    expect(ended).toBeGreaterThan(0)
    const all = await ids()
    expect(all.length).toBeGreaterThanOrEqual(accepted)
    const { tasks } = await chaos.verdict({ accepted: all })
    expect(tasks.map(({ status, attempt }) => `${status} ${attempt}`)).toEqual(all.map(() => 'succeeded 1'))
  },
)

scenario(
  23,
  'no connection of the database is left: requests get 503, and nothing is lost of what runs',
  'result held in the task log',
  async () => {
    const { id } = await chaos.script(ticking('exhausted'))
    const reader = chaos.follow(id)
    await reader.until(printed('tick 1\n'))
    const crowd = await postgres.exhaust()
    expect(crowd.held).toBeGreaterThan(10)
    await expect503('GET', `/v1/tasks/${id}`)
    const refused = database.answered(statements.finish, 1)
    await writeFile(gate('exhausted'), '')
    await reader.until(printed('over'))
    await refused
    await expect503('POST', '/v1/tasks', { kind: 'shell', project_id: 'demo', command: 'true' })
    await crowd.release()
    const { tasks } = await chaos.verdict()
    expect(tasks).toMatchObject([{ status: 'succeeded', attempt: 1 }])
  },
)

scenario(
  25,
  'a snapshot stays pinned under load: every task ends once, and claims go on',
  'partial indexes, fillfactor, autovacuum',
  async () => {
    // Ten minutes by hand: RDEV_CHAOS_PINNED_SECONDS=600.
    const lastS = Number(process.env.RDEV_CHAOS_PINNED_SECONDS ?? 30)
    const claims: { at: number; ms: number }[] = []
    database.onAnswer((sql, ms) => statements.claim.test(sql) && claims.push({ at: Date.now(), ms }))
    const script = chaos.ledger.scripts.quick()
    const load = async (untilAt: number) => {
      let count = 0
      const one = async () => {
        while (Date.now() < untilAt) {
          const { id } = await chaos.script(script)
          await chaos.client.finished(id)
          count++
        }
      }
      await Promise.all(Array.from({ length: 8 }, one))
      return count
    }
    const median = (from: number, to: number) => {
      const ms = claims.filter(({ at }) => at >= from && at < to).map((one) => one.ms)
      return ms.sort((a, b) => a - b)[Math.floor(ms.length / 2)] ?? Number.NaN
    }
    const quarterMs = (lastS * 1000) / 4
    await load(Date.now() + 2_000)
    const pin = await postgres.pinSnapshot(chaos.databaseUrl ?? '')
    const from = Date.now()
    const done = await load(from + lastS * 1000)
    const [early, late] = [median(from, from + quarterMs), median(from + 3 * quarterMs, Infinity)]
    const dead = await rows(`select sum(n_dead_tup)::int as n from pg_stat_user_tables`)
    console.log(
      `25: ${done} tasks in ${lastS} s with a pinned snapshot, ${String(dead[0]?.n)} dead rows; a claim's median went from ${early.toFixed(1)} to ${late.toFixed(1)} ms (× ${(late / early).toFixed(2)})`,
    )
    await pin.release()
    const { tasks } = await chaos.verdict()
    expect(tasks.filter(({ status, attempt }) => status !== 'succeeded' || attempt !== 1)).toEqual([])
  },
  { timeoutMs: 1_200_000 },
)
