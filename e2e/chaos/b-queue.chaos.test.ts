// Many requests at once, and one project that floods the queue.
import { afterAll, beforeAll, expect } from 'vitest'
import type { TaskBatchView } from '@rdev/shared/api/batch'
import type { TaskView } from '@rdev/shared/api/tasks'
import { ownPostgres } from './postgres.ts'
import type { PostgresServer } from './postgres.ts'
import { setup, teardown } from './setup.ts'
import type { Chaos } from './setup.ts'
import { scenario } from './table.ts'

const queued = Number(process.env.RDEV_CHAOS_QUEUED ?? 10_000)
/** The slots of the pool: two workers with this many each. */
const slots = 4

let postgres: PostgresServer
let chaos: Chaos
beforeAll(async () => {
  postgres = await ownPostgres()
  chaos = await setup({ slots, database: { serverUrl: postgres.url } })
})
afterAll(async () => {
  await teardown(chaos)
  await postgres?.[Symbol.asyncDispose]()
})

const rows = (sql: string) => postgres.rows(sql, chaos.databaseUrl)
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

scenario(
  49,
  '50 clients send one request with one Idempotency-Key at once: one task, started once, and all are answered the same',
  'idempotency key',
  async () => {
    const body = {
      kind: 'shell',
      project_id: 'demo',
      target: 'pool',
      command: chaos.ledger.scripts.quick(),
      labels: { scenario: 'same-key' },
    }
    const send = (sent: Record<string, unknown>) =>
      chaos.client.fetch('POST', '/v1/tasks', { body: sent, headers: { 'idempotency-key': 'one for all' } })
    let busy = 0
    const answers = await Promise.all(
      Array.from({ length: 50 }, async () => {
        for (;;) {
          const response = await send(body)
          const answer = { status: response.status, replayed: response.headers.get('idempotency-replayed'), text: await response.text() }
          if (response.status !== 409) return answer
          // Another request with the key is in flight; the client repeats this one.
          busy++
          await sleep(100)
        }
      }),
    )
    expect([...new Set(answers.map(({ status, text }) => `${status} ${text}`))]).toHaveLength(1)
    expect(answers[0]?.status).toBe(202)
    expect(answers.filter(({ replayed }) => replayed === 'true')).toHaveLength(49)
    console.log(`49: 1 created, 49 answered from it, ${busy} times 409 before that`)
    const { id } = JSON.parse(answers[0]?.text ?? '') as TaskView
    expect(await rows(`select id from tasks where spec->'labels'->>'scenario' = 'same-key'`)).toEqual([{ id }])
    expect((await send({ ...body, priority: 7 })).status).toBe(422)
    const { tasks } = await chaos.verdict({ accepted: [id], maxStarts: 1 })
    expect(tasks).toMatchObject([{ status: 'succeeded', attempt: 1 }])
    expect(await chaos.ledger.starts(id)).toHaveLength(1)
  },
)

scenario(
  50,
  `one project queues ${queued.toLocaleString('en')}: the single task of another gets the next free slot`,
  'fair lanes',
  async () => {
    for (const project of ['flooder', 'single']) {
      await rows(
        `insert into projects (id, cluster_id, max_running, allow_pool, created_at, updated_at) values ('${project}', 'local', 1000, true, now(), now())`,
      )
    }
    const flood = { kind: 'shell', project_id: 'flooder', target: 'pool', command: 'sleep 0.3' }
    for (let left = queued; left > 0; left -= 500) {
      const tasks = Array.from({ length: Math.min(500, left) }, () => flood)
      const { results } = await chaos.client.json<TaskBatchView>('POST', '/v1/tasks/batch', { tasks })
      expect(results.every(({ status }) => status === 202)).toBe(true)
    }
    const leasedOf = async (project: string) =>
      rows(`select a.leased_at from attempts a join tasks t on t.id = a.task_id where t.project_id = '${project}' order by a.leased_at`)
    // Tasks of the flood have every slot.
    const before = await leasedOf('flooder')
    expect(before.length).toBeGreaterThan(0)
    const { id } = await chaos.client.task({ ...flood, project_id: 'single', command: chaos.ledger.scripts.quick() })
    const { tasks } = await chaos.verdict({ accepted: [id], maxStarts: 1 })
    expect(tasks).toMatchObject([{ status: 'succeeded', attempt: 1 }])

    const [order] = await rows(`
      select count(*)::int as between, (select count(*)::int from tasks where project_id = 'flooder' and status = 'queued') as waiting
      from attempts a join tasks t on t.id = a.task_id, tasks one join attempts first on first.task_id = one.id and first.n = 1
      where t.project_id = 'flooder' and one.id = '${id}' and a.leased_at > one.created_at and a.leased_at <= first.leased_at`)
    console.log(`50: ${String(order?.between)} tasks of the flooder were leased between, ${String(order?.waiting)} still waited`)
    expect(Number(order?.waiting)).toBeGreaterThan(queued / 2)
    // A claim that was on its way when the single task came may fill every slot that was free then; no later claim may.
    expect(Number(order?.between)).toBeLessThanOrEqual(2 * slots)
    await chaos.client.json('POST', '/v1/projects/flooder/pause')
  },
  { timeoutMs: 240_000 },
)
