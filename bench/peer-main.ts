// The peers' workers, and bare spawns, as a program of its own: small, so that its forks are cheap. Its first message says what to do; it reports
// when it is ready, what each process said (a start), and when all is done (lives).
import { spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { run, type WorkerEvents } from 'graphile-worker'
import { Pool } from 'pg'
import { wallMs } from './clock.ts'
import { inFlight } from './in-flight.ts'
import type { PeerReport, PeerOrder } from './peer-program.ts'
import { queueName, quiet, startBoss } from './peers.ts'

const tell = (report: PeerReport) => process.send?.(report)

/** Runs a program to its end; answers what it said. */
async function runProgram(program: string, args: readonly string[]): Promise<string> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${program} answered ${code}`)
  return said
}

const live = () => runProgram('true', [])
const start = async () => tell({ said: await runProgram('date', ['+%s.%N']) })

async function graphile(url: string, slots: number, count: number, work: () => Promise<unknown>): Promise<void> {
  const events: WorkerEvents = new EventEmitter()
  let completed = 0
  // Emitted when the end is in the database.
  events.on('job:complete', () => {
    if (++completed === count) tell({ doneAt: wallMs() })
  })
  const pgPool = new Pool({ connectionString: url, max: Math.max(10, slots) })
  pgPool.on('error', () => {}).on('connect', (client) => client.on('error', () => {}))
  const taskList = { [queueName]: async () => void (await work()) }
  await run({ pgPool, concurrency: slots, events, noHandleSignals: true, logger: quiet, taskList })
  tell({ ready: true })
}

/** Its own `work` fetches at most twice a second unless a batch came back full; by hand nothing waits. */
async function bossLives(url: string, slots: number, count: number): Promise<void> {
  const boss = await startBoss(url)
  tell({ ready: true })
  for (let completed = 0; completed < count;) {
    const jobs = await boss.fetch(queueName, { batchSize: slots })
    await Promise.all(jobs.map(live))
    await boss.complete(
      queueName,
      jobs.map(({ id }) => id),
    )
    completed += jobs.length
  }
  tell({ doneAt: wallMs() })
}

async function bossStarts(url: string): Promise<void> {
  const boss = await startBoss(url)
  await boss.work(queueName, async () => void (await start()))
  tell({ ready: true })
}

process.once('message', async (order: PeerOrder) => {
  switch (order.what) {
    case 'spawns':
      return tell({ perS: (await inFlight(order.count, order.slots, live)).perS })
    case 'graphile lives':
      return graphile(order.url, order.slots, order.count, live)
    case 'graphile starts':
      return graphile(order.url, 1, Infinity, start)
    case 'boss lives':
      return bossLives(order.url, order.slots, order.count)
    case 'boss starts':
      return bossStarts(order.url)
  }
})
process.once('disconnect', () => process.exit(0))
