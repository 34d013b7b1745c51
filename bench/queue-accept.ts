// How many tasks a second are accepted: rows committed, answers given. No agent runs, as no worker of a peer does.
import { startBareEcho } from './bare.ts'
import { httpClient } from './http.ts'
import { insertOf } from './insert.ts'
import { inFlight, type Timed } from './in-flight.ts'
import { sizes } from './options.ts'
import { openBoss, openGraphile, payload, queueName } from './peers.ts'
import { processorOf, type Shares } from './processor.ts'
import { startQueueStack, trueTask, type QueueRun, type QueueStack } from './queue-stack.ts'
import { percentile, printTable } from './table.ts'

interface Row {
  readonly name: string
  readonly timed: Timed
  /** Tasks in one call. */
  readonly each: number
  readonly usedMs?: Shares
}

const batches = [100, 500]

export async function acceptance(run: QueueRun): Promise<void> {
  const peers = await acceptedByPeers(run.serverUrl)
  const ours = await acceptedByUs(run)
  const perS = ({ timed, each }: Row) => timed.perS * each
  const base = perS(peers[0]!)
  printTable(
    `Accepted tasks, ${sizes.clients} calls in flight`,
    ['', 'tasks/s', 'a call p50 (ms)', 'p99 (ms)', '× graphile-worker addJob'],
    [...peers, ...ours.rows].map((row) => [
      row.name,
      perS(row),
      percentile(row.timed.tookMs, 0.5),
      percentile(row.timed.tookMs, 0.99),
      perS(row) / base,
    ]),
  )
  printTable(
    'The steps of POST /v1/tasks, each by itself and as far as the one before',
    ['', 'calls/s', 'p50 (ms)'],
    ours.steps.map(({ name, timed }) => [name, timed.perS, percentile(timed.tookMs, 0.5)]),
  )
  printShares('Processor of a task (µs)', [...ours.rows, ...ours.steps])
}

function printShares(title: string, rows: readonly Row[]): void {
  const names = Object.keys(rows[0]?.usedMs ?? {})
  printTable(
    title,
    ['', ...names],
    rows.map(({ name, timed, each, usedMs = {} }) => [
      name,
      ...names.map((program) => ((usedMs[program] ?? 0) * 1_000) / (timed.tookMs.length * each)),
    ]),
  )
}

async function acceptedByPeers(serverUrl: string): Promise<Row[]> {
  const { accepted, clients } = sizes
  const rows: Row[] = []
  const graphile = await openGraphile(serverUrl)
  const { utils } = graphile
  await inFlight(200, clients, () => utils.addJob(queueName, payload))
  rows.push({ name: 'graphile-worker addJob', each: 1, timed: await inFlight(accepted, clients, () => utils.addJob(queueName, payload)) })
  for (const each of batches) {
    const specs = Array.from({ length: each }, () => ({ identifier: queueName, payload }))
    const timed = await inFlight(batchCalls(each), clients, () => utils.addJobs(specs))
    rows.push({ name: `graphile-worker addJobs of ${each}`, each, timed })
  }
  await graphile.close()

  const { boss, close } = await openBoss(serverUrl)
  await inFlight(200, clients, () => boss.send(queueName, payload))
  rows.push({ name: 'pg-boss send', each: 1, timed: await inFlight(accepted, clients, () => boss.send(queueName, payload)) })
  for (const each of batches) {
    const jobs = Array.from({ length: each }, () => ({ data: payload }))
    rows.push({
      name: `pg-boss insert of ${each}`,
      each,
      timed: await inFlight(batchCalls(each), clients, () => boss.insert(queueName, jobs)),
    })
  }
  await close()
  return rows
}

/** As many tasks as four times the single calls bring, and enough calls to be a figure. */
const batchCalls = (each: number): number => Math.max(20, Math.ceil((4 * sizes.accepted) / each))

async function acceptedByUs(run: QueueRun): Promise<{ rows: Row[]; steps: Row[] }> {
  const stack = await startQueueStack(run, 'accept')
  try {
    await stack.agent.stop()
    const key = async (rights: object) =>
      (
        await stack.client.json<{ key: string }>('POST', '/v1/keys', {
          name: 'bench',
          scopes: ['tasks:read', 'tasks:write', 'workers:read'],
          ...rights,
        })
      ).key
    const http = httpClient(stack.url, await key({}), sizes.clients)
    const elsewhere = httpClient(stack.url, await key({ project_ids: ['elsewhere'] }), sizes.clients)
    const post = () => http.wants(202, 'POST', '/v1/tasks', trueTask)
    // The first are slow: code that was never run.
    await inFlight(500, sizes.clients, post)

    const rows: Row[] = []
    const measure = async (name: string, each: number, calls: number, call: () => Promise<unknown>): Promise<Row> => {
      const { result, usedMs } = await processorOf({ ...programsOf(stack), workerd: 'control plane' }, () =>
        inFlight(calls, sizes.clients, call),
      )
      return { name, each, timed: result, usedMs }
    }
    rows.push(await measure('POST /v1/tasks', 1, sizes.accepted, post))
    for (const each of batches) {
      const tasks = Array.from({ length: each }, () => trueTask)
      const batch = async () => {
        const answers = JSON.parse(await http.wants(200, 'POST', '/v1/tasks/batch', { tasks })) as { results: { status: number }[] }
        const refused = answers.results.filter(({ status }) => status !== 202)
        if (answers.results.length !== each || refused.length > 0) throw new Error(`of a batch ${refused.length} were refused`)
      }
      rows.push(await measure(`POST /v1/tasks/batch of ${each}`, each, batchCalls(each), batch))
    }

    const bare = await startBareEcho()
    const echo = httpClient(bare.url, 'none', sizes.clients)
    const insert = await insertOf(stack)
    const { accepted } = sizes
    const steps = [
      await measure('a worker that answers what it got', 1, accepted, () => echo.wants(200, 'POST', '/', trueTask)),
      await measure('ours: GET /health', 1, accepted, () => http.wants(200, 'GET', '/health')),
      await measure('and who asks: GET /v1/providers', 1, accepted, () => http.wants(200, 'GET', '/v1/providers')),
      await measure('and the body: POST of a task that is refused', 1, accepted, () => elsewhere.wants(404, 'POST', '/v1/tasks', trueTask)),
      await measure('and the row, and the poke: POST /v1/tasks', 1, accepted, post),
      await measure('only the statement, by the HTTP proxy', 1, accepted, insert.byProxy),
      await measure('only the statement, by a connection', 1, accepted, insert.byConnection),
    ]
    echo.close()
    await bare.stop()
    await insert.close()
    http.close()
    elsewhere.close()
    return { rows, steps }
  } finally {
    await stack.stop()
  }
}

export const programsOf = (stack: QueueStack) => ({
  groups: { 'control plane': stack.controlPlane.pid, agent: stack.agent.pid, 'HTTP proxy': stack.database.pid },
  databaseUrl: stack.databaseUrl,
})
