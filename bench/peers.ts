// The queues that ours stands beside, by their public interfaces, each in a database of its own on the same server, with as many connections as
// our proxy has.
import { Logger, makeWorkerUtils } from 'graphile-worker'
import { Pool } from 'pg'
import { PgBoss } from 'pg-boss'
import { createDatabase } from '../dev/neon-proxy/own-database.ts'

/** As dev/neon-proxy/pg-backend.ts. */
export const connections = 10
export const queueName = 'bench'
/** About what a task of ours carries. */
export const payload = { kind: 'shell', project_id: 'demo', command: 'true' }

/** Worker tells of every job; its errors are enough. */
export const quiet = new Logger(() => (level, message) => {
  if (level === 'error') console.error(message)
})

export async function openGraphile(serverUrl: string) {
  const { url, drop } = await createDatabase(serverUrl)
  const pgPool = new Pool({ connectionString: url, max: connections })
  pgPool.on('error', () => {}).on('connect', (client) => client.on('error', () => {}))
  const utils = await makeWorkerUtils({ pgPool, logger: quiet })
  await utils.migrate()
  return {
    url,
    utils,
    close: async () => {
      await utils.release()
      await pgPool.end()
      await drop()
    },
  }
}

export async function openBoss(serverUrl: string) {
  const { url, drop } = await createDatabase(serverUrl)
  const boss = await startBoss(url)
  await boss.createQueue(queueName, { notify: true })
  return {
    url,
    boss,
    close: async () => {
      await boss.stop({ graceful: false })
      await drop()
    },
  }
}

export async function startBoss(url: string): Promise<PgBoss> {
  const boss = new PgBoss({ connectionString: url, max: connections, schedule: false, supervise: false, useListenNotify: true })
  boss.on('error', (error) => console.error('pg-boss:', error))
  return boss.start()
}
