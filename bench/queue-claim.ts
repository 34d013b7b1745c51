// The cost of a claim while much is queued. SQL inserts the rows. After each claim its tasks go back to the queue, so that the depth stays, and
// there are dead rows and new positions in the order, as in service.
import { randomBytes } from 'node:crypto'
import { Client } from 'pg'
import type { Pod } from '@rdev/shared/domain/pod'
import { createDatabase } from '../dev/neon-proxy/own-database.ts'
import type { Slot } from '../control-plane/src/ports/dispatch-store.ts'
import { newTask } from './new-task.ts'
import { sizes } from './options.ts'
import { bossFetches, graphileFetches } from './peer-fetch.ts'
import type { QueueRun } from './queue-stack.ts'
import { serverClock } from './processor.ts'
import { openStore, type BenchStore } from './store.ts'
import { percentile, printTable } from './table.ts'

const clusterId = 'bench'
const projectCount = 100
const slotCounts = [1, 20]
const warmUps = 5
/** The longest time for one row of the table; a slow case needs fewer claims. */
const maxRowMs = 60_000

/** What is queued: SQL for a column of row `g`. */
interface Mix {
  readonly name: string
  readonly columns: Readonly<Record<string, string>>
  /** Tasks that hold what others wait for. */
  readonly live?: boolean
  /** Slots of many projects. */
  readonly spread?: boolean
}

const mixes: readonly Mix[] = [
  { name: 'one project', columns: { project_id: `'p0'` } },
  { name: '100 projects', columns: { project_id: `'p' || g % ${projectCount}` }, spread: true },
  {
    name: 'half of it for later',
    columns: { project_id: `'p0'`, run_after: `now() + CASE WHEN g % 2 = 0 THEN interval '1 day' ELSE interval '-1 hour' END` },
  },
  {
    name: 'all but 1 000 behind one workspace',
    columns: {
      project_id: `'p0'`,
      workspace: `CASE WHEN g > 1000 OR g % 2 = 0 THEN 'busy' END`,
      priority: `CASE WHEN g > 1000 THEN 50 ELSE 100 END`,
    },
    live: true,
  },
]

interface Row {
  readonly mix: string
  readonly slots: number
  readonly depth: number
  readonly tookMs: readonly number[]
  readonly claimed: number
  /** Of the server, for one claim. */
  readonly processorMs: number
}

export async function claims(run: QueueRun): Promise<void> {
  for (const mix of mixes) {
    const rows: Row[] = []
    for (const depth of sizes.depths) rows.push(...(await claimsAt(run, mix, depth)))
    printDepths(`A claim, on the server, from BEGIN to COMMIT: ${mix.name}`, rows)
  }
  const peers: Row[] = []
  for (const depth of sizes.depths)
    peers.push(...(await graphileFetches(run.serverUrl, depth)), ...(await bossFetches(run.serverUrl, depth)))
  printDepths('The same of the peers, at their client', peers)
}

function printDepths(title: string, rows: readonly Row[]): void {
  const p = (row: Row, share: number) => percentile(row.tookMs, share)
  printTable(
    title,
    ['', 'queued', 'slots', 'p50 (ms)', 'p99 (ms)', 'processor (ms)', 'tasks a claim', 'p99 × that at the least depth'],
    rows.map((row) => {
      const least = rows.find(({ mix, slots }) => mix === row.mix && slots === row.slots)!
      return [
        row.mix,
        String(row.depth),
        String(row.slots),
        p(row, 0.5),
        p(row, 0.99),
        row.processorMs,
        row.claimed / row.tookMs.length,
        p(row, 0.99) / p(least, 0.99),
      ]
    }),
  )
}

async function claimsAt({ serverUrl }: QueueRun, mix: Mix, depth: number): Promise<Row[]> {
  const { url, drop } = await createDatabase(serverUrl)
  const store = await openStore(url)
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    await fill(store, client, mix, depth)
    const rows: Row[] = []
    for (const slots of slotCounts) rows.push({ mix: mix.name, depth, slots, ...(await claimAgain(store, url, slots, mix)) })
    return rows
  } finally {
    await client.end()
    await store.close()
    await drop()
  }
}

const podOf = (project: string): Pod => ({
  name: `pod-${project}`,
  uid: `uid-${project}`,
  role: 'project',
  project_id: project,
  ready: true,
  slots: 100,
  providers: [],
  allow_bypass_permissions: false,
})

async function fill({ projects, tasks, dispatch }: BenchStore, client: Client, mix: Mix, depth: number): Promise<void> {
  await projects.report(
    clusterId,
    Array.from({ length: projectCount }, (_, i) => podOf(`p${i}`)),
    Array.from({ length: projectCount }, (_, i) => `p${i}`),
  )
  await client.query(`SET statement_timeout = 0`)
  await client.query('UPDATE projects SET max_running = 10000')
  const sample = newTask({ project_id: 'p0', workspace: mix.live ? 'busy' : null })
  await tasks.insert([sample])
  if (mix.live) {
    const { generation } = await dispatch.takeOver(clusterId, 1)
    await dispatch.claim({ clusterId, claimId: 'first', keyId: null, slots: slotsFor(1), leaseMs: 3_600_000, generation, number: 1 })
  }

  // Every column as the store wrote it, but for those that the mix is about.
  const { rows } = await client.query<{ column_name: string }>(
    `SELECT column_name FROM information_schema.columns WHERE table_name = 'tasks' AND is_generated = 'NEVER' AND is_identity = 'NO'`,
  )
  const special: Readonly<Record<string, string>> = {
    id: `'task_' || lpad(g::text, 26, '0')`,
    status: `'queued'`,
    attempt: '0',
    pod: 'NULL',
    pod_uid: 'NULL',
    claim_id: 'NULL',
    lease_until: 'NULL',
    started_at: 'NULL',
    run_after: `now() - interval '1 hour'`,
    ...mix.columns,
    ...(mix.columns.project_id ? { lane: mix.columns.project_id } : {}),
    turn: `coalesce('w:' || ${mix.columns.workspace ?? 'NULL::text'}, 'project')`,
  }
  const names = rows.map(({ column_name }) => column_name)
  const values = names.map((name) => special[name] ?? `t.${name}`)
  await client.query(
    `INSERT INTO tasks (${names.join(', ')}) SELECT ${values.join(', ')} FROM tasks t, generate_series(1, $1::int) g WHERE t.id = $2`,
    [mix.live ? depth : depth - 1, sample.id],
  )
  await client.query('VACUUM ANALYZE tasks')
}

let generations = 1
/** Free slots in the pod of the one project, or one in each of many. */
const slotsFor = (count: number, spread = false): Slot[] =>
  Array.from({ length: count }, (_, i) => {
    const project_id = spread ? `p${i}` : 'p0'
    return { pod: `pod-${project_id}`, pod_uid: `uid-${project_id}`, project_id }
  })

async function claimAgain(
  { dispatch, serverMs }: BenchStore,
  url: string,
  slots: number,
  { spread }: Mix,
): Promise<Pick<Row, 'tookMs' | 'claimed' | 'processorMs'>> {
  const tookMs: number[] = []
  let claimed = 0
  let processorMs = 0
  let clock = async () => 0
  const deadline = performance.now() + maxRowMs
  const { generation } = await dispatch.takeOver(clusterId, ++generations)
  for (let i = 0; i < sizes.claims + warmUps && performance.now() < deadline; i++) {
    if (i === warmUps) clock = await serverClock(url)
    const before = await clock()
    const claimId = `claim_${slots}_${i}_${randomBytes(4).toString('hex')}`
    // A claim that the database's time limit ended counts as one that takes for ever.
    const ask = { clusterId, claimId, keyId: null, slots: slotsFor(slots, spread), leaseMs: 60_000, generation, number: i + 1 }
    const taken = await dispatch.claim(ask).catch(() => null)
    if (taken === null) return { tookMs: [Number.POSITIVE_INFINITY], claimed: 0, processorMs: Number.NaN }
    // The first prepare what every later one finds.
    if (i >= warmUps) {
      tookMs.push(serverMs.at(-1) ?? Number.NaN)
      claimed += taken.length
      processorMs += (await clock()) - before
    }
    await dispatch.requeue(
      taken.map(({ task }) => ({ task_id: task.id, attempt: task.attempt })),
      Date.now() - 1_000,
    )
  }
  return { tookMs, claimed, processorMs: processorMs / tookMs.length }
}
