// Idle time costs nothing. For ten minutes: RDEV_CHAOS_IDLE_SECONDS=600 npm run test:chaos b-idle.
import { afterAll, beforeAll, expect } from 'vitest'
import type { TaskView } from '@rdev/shared/api/tasks'
import { bundleWithout } from './bundle-without.ts'
import { databaseProxy } from './database-proxy.ts'
import type { DatabaseProxy } from './database-proxy.ts'
import { collectEntered } from './entered.ts'
import { ownPostgres } from './postgres.ts'
import type { PostgresServer } from './postgres.ts'
import { setup, teardown } from './setup.ts'
import type { Chaos } from './setup.ts'
import { scenario } from './table.ts'
import { withoutVariable } from './without.ts'

const seconds = Number(process.env.RDEV_CHAOS_IDLE_SECONDS ?? 60)
/** How long to wait after the work: an alarm that was set before may still come once. */
const settleMs = 45_000

let postgres: PostgresServer
let database: DatabaseProxy
let chaos: Chaos
const { entries: entered, onLog } = collectEntered()
const frames: Record<string, number> = {}

beforeAll(async () => {
  postgres = await ownPostgres()
  database = await databaseProxy()
  const without = ['counted objects', process.env[withoutVariable] ?? ''].filter(Boolean).join(',')
  chaos = await setup({
    database: { serverUrl: postgres.url },
    databaseVia: database.via,
    bundle: (outFile) => bundleWithout(without, outFile),
    onLog,
  })
  chaos.agentProxy.on(({ direction, type }) => {
    frames[`${direction} ${type}`] = (frames[`${direction} ${type}`] ?? 0) + 1
    return false
  }, 'pass')
})
afterAll(async () => {
  await teardown(chaos)
  await database?.[Symbol.asyncDispose]()
  await postgres?.[Symbol.asyncDispose]()
})

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
/** The server's count of statements in the stack's database, without those of this test. */
async function statementsRun(): Promise<number> {
  await postgres.rows('create extension if not exists pg_stat_statements')
  const [row] = await postgres.rows(
    `select coalesce(sum(s.calls), 0)::int as calls from pg_stat_statements s join pg_roles r on r.oid = s.userid where r.rolname = 'stack'`,
  )
  return Number(row?.calls)
}

scenario(
  [],
  `nothing is queued or runs for ${seconds} s, with an agent, its pods and a finished session: no Postgres query, no object wakes`,
  'hibernation; no alarm without work',
  async () => {
    const runs = [
      chaos.script(chaos.ledger.scripts.counting(10, 0.1)),
      chaos.script(chaos.ledger.scripts.quick(1)),
      chaos.accept({ kind: 'agent', project_id: 'demo', prompt: 'Remember the word kumquat.' }, { unsigned: true }),
    ]
    const ids = (await Promise.all(runs)).map((task: TaskView) => task.id)
    const readers = ids.map((id) => chaos.follow(id))
    await Promise.all(readers.map(({ done }) => done))
    await chaos.verdict()
    // The counters work.
    expect(entered.length).toBeGreaterThan(10)
    expect(database.requests).toBeGreaterThan(10)
    expect(await statementsRun()).toBeGreaterThan(10)
    expect(Object.keys(frames)).toEqual(expect.arrayContaining(['down assign', 'up events', 'up finished']))

    await sleep(settleMs)
    entered.length = 0
    for (const name of Object.keys(frames)) delete frames[name]
    const before = { requests: database.requests, statements: await statementsRun() }
    await sleep(seconds * 1_000)
    const found = {
      requests: database.requests - before.requests,
      statements: (await statementsRun()) - before.statements,
      entered: [...entered],
    }
    const others = Object.entries(frames).filter(([name]) => !['up ping', 'down pong'].includes(name))
    console.log(
      `idle: ${seconds} s: ${found.requests} requests to the database, ${found.statements} statements in it, objects entered ${found.entered.length} times; frames: ${JSON.stringify(frames)}`,
    )
    expect(found).toEqual({ requests: 0, statements: 0, entered: [] })
    expect(others).toEqual([])
    // The agent was connected all the time.
    if (seconds >= 30) expect(frames['up ping']).toBeGreaterThan(0)
    // Everything works when a task comes.
    await chaos.script(chaos.ledger.scripts.quick())
    await chaos.verdict()
  },
  { timeoutMs: seconds * 1_000 + 180_000 },
)
