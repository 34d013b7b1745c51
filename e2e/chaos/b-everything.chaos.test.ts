// All faults together. For a longer run: `npm run test:chaos:long`, or RDEV_CHAOS_SECONDS, RDEV_CHAOS_TASKS and RDEV_CHAOS_SEED.
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect } from 'vitest'
import type { TaskView } from '@rdev/shared/api/tasks'
import { outputOf } from '../setup.ts'
import { databaseProxy } from './database-proxy.ts'
import type { DatabaseProxy } from './database-proxy.ts'
import { agentsFile, mixedTasks } from './mixed-tasks.ts'
import type { Mixed } from './mixed-tasks.ts'
import { startNemesis } from './nemesis.ts'
import { ownPostgres } from './postgres.ts'
import type { PostgresServer } from './postgres.ts'
import { randomFrom } from './random.ts'
import { setup, teardown } from './setup.ts'
import type { Chaos } from './setup.ts'
import { scenario } from './table.ts'

const seconds = Number(process.env.RDEV_CHAOS_SECONDS ?? 45)
const count = Number(process.env.RDEV_CHAOS_TASKS ?? (seconds >= 300 ? 200 : 50))
const seed = Number(process.env.RDEV_CHAOS_SEED ?? Math.floor(Math.random() * 2 ** 32))
/** How many run at once, by the project's limit; the pods have one slot more. */
const slots = 20
/** How long the rest may take after every program runs again. */
const healMs = 300_000

let postgres: PostgresServer
let database: DatabaseProxy
let chaos: Chaos
beforeAll(async () => {
  postgres = await ownPostgres()
  database = await databaseProxy()
  chaos = await setup({ slots: 7, database: { serverUrl: postgres.url }, databaseVia: database.via })
  await chaos.client.json('PATCH', '/v1/projects/demo', { max_running: slots })
})
afterAll(async () => {
  await teardown(chaos)
  await database?.[Symbol.asyncDispose]()
  await postgres?.[Symbol.asyncDispose]()
})

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Repeats a request until it is answered, as a client with an Idempotency-Key may. */
async function insist(method: string, path: string, body: unknown, key?: string): Promise<TaskView> {
  for (;;) {
    const response = await chaos.client
      .fetch(method, path, { body, ...(key !== undefined && { headers: { 'idempotency-key': key } }), signal: AbortSignal.timeout(30_000) })
      .catch(() => undefined)
    if (response?.ok) {
      const text = await response.text().catch(() => '')
      if (text !== '') return JSON.parse(text) as TaskView
    } else if (response && response.status < 500 && response.status !== 409) {
      throw new Error(`${method} ${path} answered ${response.status}: ${await response.text()}`)
    }
    await sleep(200)
  }
}

scenario(
  53,
  `${count} mixed tasks, ${slots} slots, every program killed and every connection cut at random for ${seconds} s: nothing lost, nothing twice, every log whole`,
  'all of them',
  async () => {
    const random = randomFrom(seed)
    console.log(`53: RDEV_CHAOS_SEED=${seed} RDEV_CHAOS_SECONDS=${seconds} RDEV_CHAOS_TASKS=${count}`)
    const tasks = mixedTasks(count, chaos.ledger, random.fork())
    const made: { readonly id: string; readonly mixed: Mixed }[] = []
    const side: Promise<unknown>[] = []

    const accept = async (mixed: Mixed, key: string, more: object = {}): Promise<void> => {
      const { id, session_id } = await insist('POST', '/v1/tasks', { ...mixed.body, ...more }, key)
      made.push({ id, mixed })
      chaos.follow(id, made.length % 2 === 0 ? chaos.proxied : chaos.client)
      if (mixed.cancelAfterMs !== undefined) {
        side.push(sleep(mixed.cancelAfterMs).then(() => insist('POST', `/v1/tasks/${id}/cancel`, undefined)))
      }
      if (mixed.followUp) await accept(mixed.followUp, `${key} again`, { session_id })
    }

    const beganAt = Date.now()
    const nemesis = startNemesis({ chaos, postgres, database }, random.fork(), [
      Math.min(4_000, seconds * 60),
      Math.min(16_000, seconds * 250),
    ])
    const pace = random.fork()
    for (const [index, mixed] of tasks.entries()) {
      side.push(accept(mixed, `${seed} ${index}`))
      // Spread over the first two thirds, in bursts.
      await sleep(pace.chance() < 0.5 ? 0 : ((seconds * 1_000 * 2) / 3 / tasks.length) * 2 * pace.chance() * 2)
    }
    await sleep(Math.max(0, beganAt + seconds * 1_000 - Date.now()))
    await nemesis.stop()
    const healedAt = Date.now()
    await Promise.all(side)

    const open = () => postgres.rows(`select id, status, attempt from tasks where finished_at is null order by id`, chaos.databaseUrl)
    while ((await open()).length > 0 && Date.now() < healedAt + healMs) await sleep(500)
    expect(await open(), chaos.printed.slice(-100).join('')).toEqual([])
    const tookS = (Date.now() - healedAt) / 1_000

    const agents = made.filter(({ mixed }) => mixed.agent).map(({ id }) => id)
    const verdict = await chaos.verdict({ accepted: made.map(({ id }) => id), unsigned: new Set(agents) })
    const violations: string[] = []
    // Repeating with a key has made one task.
    const rows = await postgres.rows(`select id from tasks`, chaos.databaseUrl)
    if (rows.length !== made.length) violations.push(`${rows.length} tasks are there, ${made.length} were asked for`)
    const signed = (await readFile(agentsFile(chaos.ledger), 'utf8').catch(() => '')).split('\n').filter(Boolean)
    for (const { id, mixed } of made) {
      const task = verdict.tasks.find((one) => one.id === id)!
      const wrong = mixed.wrong(task)
      if (wrong !== undefined) violations.push(`${id} (${mixed.kind}): ${wrong}`)
      const signatures = signed.filter((one) => one.startsWith(`${id}.`))
      if (mixed.signs && mixed.agent && signatures.length !== 1)
        violations.push(`${id} (${mixed.kind}): its tool ran ${signatures.length} times`)
    }
    const most = mostAtOnce(await chaos.ledger.marks())
    if (most > slots) violations.push(`${most} processes at once, ${slots} are allowed`)

    const sinceHealed = (time: string) => ((Date.parse(time) - healedAt) / 1_000).toFixed(0)
    const slowest = [...verdict.tasks].sort((one, other) => Date.parse(other.finished_at!) - Date.parse(one.finished_at!)).slice(0, 3)
    const lives = slowest.map((task) => {
      const story = (verdict.logs.get(task.id) ?? []).filter(({ type }) => !['output', 'provider.raw', 'usage'].includes(type))
      return `${made.find(({ id }) => id === task.id)?.mixed.kind}: ${story.map(({ type, time, attempt }) => `${type} (${attempt}) ${sinceHealed(time)}`).join(', ')}`
    })
    const byStatus = countBy(verdict.tasks.map(({ status }) => status))
    const events = [...verdict.logs.values()].reduce((sum, log) => sum + log.length, 0)
    const bytes = [...verdict.logs.values()].reduce((sum, log) => sum + Buffer.byteLength(outputOf(log)), 0)
    console.log(
      [
        `53: ${made.length} tasks (${list(countBy(made.map(({ mixed }) => mixed.kind)))})`,
        `    faults in ${seconds} s: ${list(nemesis.counts)}`,
        `    ends: ${list(byStatus)}; all ended ${tookS.toFixed(1)} s after the last fault`,
        ...lives.map((life) => `      ${life}`),
        `    starts signed: ${(await chaos.ledger.marks()).filter(({ what }) => what === 'start').length} by scripts, ${signed.length} by agents' tools; ${most} processes at once`,
        `    compared: ${events} events with what a reader got live, ${bytes} bytes of output with what the processes wrote`,
        `    violations: ${violations.length}`,
      ].join('\n'),
    )
    expect(violations).toEqual([])
    expect(byStatus.lost ?? 0).toBe(0)
    expect(byStatus.timed_out ?? 0).toBe(0)
  },
  { timeoutMs: seconds * 1_000 + healMs + 240_000 },
)

function countBy(words: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1
  return counts
}

const list = (counts: Readonly<Record<string, number>>) =>
  Object.entries(counts)
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([what, times]) => `${what} ${times}`)
    .join(', ')

/** Durations of processes that signed their start and their end. */
function mostAtOnce(marks: readonly { what: string; attempt: string; uptime: number }[]): number {
  const ends = new Map(marks.filter(({ what }) => what === 'end').map(({ attempt, uptime }) => [attempt, uptime]))
  const changes = marks.flatMap(({ what, attempt, uptime }) => {
    const end = ends.get(attempt)
    return what === 'start' && end !== undefined
      ? [
          { at: uptime, by: 1 },
          { at: end, by: -1 },
        ]
      : []
  })
  let now = 0
  let most = 0
  for (const { by } of changes.sort((a, b) => a.at - b.at || a.by - b.by)) {
    now += by
    most = Math.max(most, now)
  }
  return most
}
