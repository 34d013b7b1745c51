// Whole life cycles with a real process: queued, claimed, assigned, `true` in a pod, its result, succeeded. All are queued before the first slot
// is free, so what is measured is everything but the accepting.
import { openAccount } from './account.ts'
import { wallMs } from './clock.ts'
import { httpClient } from './http.ts'
import { inFlight } from './in-flight.ts'
import { newTask } from './new-task.ts'
import { sizes } from './options.ts'
import { openBoss, openGraphile, payload, queueName } from './peers.ts'
import { startPeer } from './peer-program.ts'
import { processorOf, type Shares } from './processor.ts'
import { programsOf } from './queue-accept.ts'
import { startQueueStack, trueTask, type QueueRun, type QueueStack } from './queue-stack.ts'
import { openStore } from './store.ts'
import { percentile, printTable } from './table.ts'

export async function lives(run: QueueRun): Promise<void> {
  const { lives: count, slots } = sizes
  const spawns = startPeer({ what: 'spawns', count: Math.max(count, 500), slots })
  const { perS: spawned } = await spawns.next('perS')
  spawns.stop()
  const rows: [string, number][] = [
    ['bare spawns of true', spawned],
    ['graphile-worker', await livesOfGraphile(run.serverUrl)],
    ['pg-boss', await livesOfBoss(run.serverUrl)],
  ]
  const stack = await startQueueStack(run, 'life', { slots })
  const used: [string, Shares][] = []
  try {
    const account = await openAccount('rdev-bench', stack.agent.pid)
    const programs = { ...programsOf(stack), account }
    // The first pay for code that was never run, in every program.
    await drain(stack, 30)
    const drained = await processorOf(programs, () => drain(stack, count))
    rows.push(['ours', drained.result.perS])
    used.push(['queued before', drained.usedMs])
    const posted = await processorOf(programs, () => postAndRun(stack, count))
    rows.push(['ours, each by POST /v1/tasks meanwhile', posted.result])
    used.push(['POST meanwhile', posted.usedMs])
    printTable(
      `Whole life cycles, ${slots} slots`,
      ['', 'per s', '× bare spawns'],
      rows.map(([name, perS]) => [name, perS, perS / spawned]),
    )
    const names = Object.keys(used[0]![1])
    printTable(
      'Processor of a life cycle (ms)',
      ['', ...names],
      used.map(([name, shares]) => [name, ...names.map((program) => (shares[program] ?? 0) / count)]),
    )
    printTable(
      'Of each task, ms',
      ['', 'p50', 'p95'],
      Object.entries(drained.result.steps).map(([name, values]) => [name, percentile(values, 0.5), percentile(values, 0.95)]),
    )
  } finally {
    await stack.stop()
  }
}

async function livesOfGraphile(serverUrl: string): Promise<number> {
  const { lives: count, slots } = sizes
  const peer = await openGraphile(serverUrl)
  await peer.utils.addJobs(Array.from({ length: count }, () => ({ identifier: queueName, payload })))
  return timedPeer({ what: 'graphile lives', url: peer.url, count, slots }, peer)
}

async function livesOfBoss(serverUrl: string): Promise<number> {
  const { lives: count, slots } = sizes
  const peer = await openBoss(serverUrl)
  await peer.boss.insert(
    queueName,
    Array.from({ length: count }, () => ({ data: payload })),
  )
  return timedPeer({ what: 'boss lives', url: peer.url, count, slots }, peer)
}

/** From when its worker is ready to when the last end is in the database. */
async function timedPeer(order: Parameters<typeof startPeer>[0] & { count: number }, peer: { close(): Promise<void> }): Promise<number> {
  const program = startPeer(order)
  await program.next('ready')
  const began = wallMs()
  const { doneAt } = await program.next('doneAt')
  program.stop()
  await peer.close()
  return (order.count / (doneAt - began)) * 1_000
}

/** Rows are brought in while the lane is closed; then it is opened, and one POST wakes the hub. */
async function drain(stack: QueueStack, count: number) {
  await stack.sql('UPDATE projects SET max_running = 0')
  const store = await openStore(stack.databaseUrl)
  for (let left = count - 1; left > 0; left -= 500) {
    await store.tasks.insert(Array.from({ length: Math.min(500, left) }, () => newTask({ project_id: 'demo', command: 'true' })))
  }
  await store.close()
  await stack.sql('UPDATE projects SET max_running = 10000')
  const began = wallMs()
  await stack.client.task(trueTask)
  await untilDone(stack, began)
  return { perS: (count / (wallMs() - began)) * 1_000, steps: await stepsSince(stack, began) }
}

async function postAndRun(stack: QueueStack, count: number): Promise<number> {
  const http = httpClient(stack.url, stack.adminKey, 8)
  const began = wallMs()
  await inFlight(count, 8, () => http.wants(202, 'POST', '/v1/tasks', trueTask))
  await untilDone(stack, began)
  http.close()
  return (count / (wallMs() - began)) * 1_000
}

async function untilDone(stack: QueueStack, began: number): Promise<void> {
  for (;;) {
    const [row] = await stack.sql(
      `SELECT count(*) FILTER (WHERE finished_at IS NULL)::int AS open, count(*) FILTER (WHERE status NOT IN ('succeeded', 'queued', 'leased', 'running'))::int AS bad FROM tasks WHERE finished_at IS NULL OR finished_at >= to_timestamp($1 / 1000.0)`,
      [began],
    )
    if (Number(row?.bad) > 0) throw new Error('a task did not succeed')
    if (row?.open === 0) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** By the times in the rows. */
async function stepsSince(stack: QueueStack, began: number): Promise<Record<string, number[]>> {
  const rows = await stack.sql(
    `SELECT extract(epoch FROM a.started_at - a.leased_at)::float8 * 1000 AS start, extract(epoch FROM a.ended_at - a.started_at)::float8 * 1000 AS run
     FROM attempts a WHERE a.ended_at >= to_timestamp($1 / 1000.0)`,
    [began],
  )
  const of = (name: string) => rows.map((row) => Number(row[name])).filter(Number.isFinite)
  return { 'leased → started': of('start'), 'started → ended': of('run') }
}
