// How long the peers take to fetch a task from a deep queue, as far as their public interfaces show it.
import { EventEmitter } from 'node:events'
import { run, type WorkerEvents } from 'graphile-worker'
import { Client, Pool } from 'pg'
import { sizes } from './options.ts'
import { serverClock } from './processor.ts'
import { openBoss, openGraphile, payload, queueName, quiet } from './peers.ts'

interface Row {
  readonly mix: string
  readonly slots: number
  readonly depth: number
  readonly tookMs: readonly number[]
  readonly claimed: number
  readonly processorMs: number
}

const chunk = 5_000

async function analyze(url: string): Promise<void> {
  const client = new Client({ connectionString: url })
  await client.connect()
  await client.query('ANALYZE')
  await client.end()
}

/** One worker with nothing to do: from its question to the job's start, by its events. */
export async function graphileFetches(serverUrl: string, depth: number): Promise<Row[]> {
  const graphile = await openGraphile(serverUrl)
  try {
    for (let left = depth; left > 0; left -= chunk) {
      await graphile.utils.addJobs(Array.from({ length: Math.min(chunk, left) }, () => ({ identifier: queueName, payload })))
    }
    await analyze(graphile.url)
    const events: WorkerEvents = new EventEmitter()
    const tookMs: number[] = []
    const enough = Promise.withResolvers<void>()
    let asked = 0
    events.on('worker:getJob:start', () => (asked = performance.now()))
    events.on('job:start', () => {
      tookMs.push(performance.now() - asked)
      if (tookMs.length >= sizes.claims + 10) enough.resolve()
    })
    const pgPool = new Pool({ connectionString: graphile.url, max: 4 })
    pgPool.on('error', () => {}).on('connect', (client) => client.on('error', () => {}))
    const runner = await run({ pgPool, concurrency: 1, events, noHandleSignals: true, logger: quiet, taskList: { [queueName]: () => {} } })
    await enough.promise
    await runner.stop()
    await pgPool.end()
    const measured = tookMs.slice(10, sizes.claims + 10)
    return [{ mix: 'graphile-worker get_job', depth, slots: 1, tookMs: measured, claimed: measured.length, processorMs: Number.NaN }]
  } finally {
    await graphile.close()
  }
}

export async function bossFetches(serverUrl: string, depth: number): Promise<Row[]> {
  const { url, boss, close } = await openBoss(serverUrl)
  try {
    for (let left = depth; left > 0; left -= chunk) {
      await boss.insert(
        queueName,
        Array.from({ length: Math.min(chunk, left) }, () => ({ data: payload })),
      )
    }
    await analyze(url)
    const rows: Row[] = []
    for (const slots of [1, 20]) {
      const tookMs: number[] = []
      let claimed = 0
      let processorMs = 0
      const clock = await serverClock(url)
      // The least depth is not emptied on the way.
      const count = Math.min(sizes.claims, Math.floor(depth / slots / 2))
      for (let i = 0; i < count; i++) {
        const before = await clock()
        const began = performance.now()
        const jobs = await boss.fetch(queueName, { batchSize: slots })
        tookMs.push(performance.now() - began)
        claimed += jobs.length
        processorMs += (await clock()) - before
        await boss.complete(
          queueName,
          jobs.map(({ id }) => id),
        )
      }
      rows.push({ mix: 'pg-boss fetch', depth, slots, tookMs, claimed, processorMs: processorMs / count })
    }
    return rows
  } finally {
    await close()
  }
}
