// The statement that accepts a task, without the Worker: through the proxy as the Worker asks it, and straight on a connection.
import { startChild } from '../dev/child.ts'
import { repository } from '../dev/bundle.ts'
import { openPg } from '../dev/neon-proxy/pg-backend.ts'
import { postgresStores } from '../control-plane/src/stores/postgres/postgres-stores.ts'
import { newTask } from './new-task.ts'
import { openStore } from './store.ts'

export async function insertOf({ databaseUrl }: { readonly databaseUrl: string }) {
  const proxy = await startChild<{ connectionString: string; fetchEndpoint: string }>({
    file: `${repository}dev/database-main.ts`,
    env: { RDEV_DATABASE: JSON.stringify({ at: { url: databaseUrl } }) },
    onOutput: (text) => process.stderr.write(text),
  })
  const { connectionString, fetchEndpoint } = proxy.ready
  const { tasks } = postgresStores({ databaseUrl: connectionString, fetchEndpoint, clock: { now: () => Date.now() } })
  const byProxy = async () => {
    const [inserted] = await tasks.insert([newTask()])
    if (inserted === undefined || 'refused' in inserted) throw new Error('a task was refused')
  }

  // The text of the statement, as the store wrote it.
  const store = await openStore(databaseUrl)
  const sample = newTask()
  await store.tasks.insert([sample])
  const [statement] = store.last()
  await store.close()
  if (statement === undefined) throw new Error('no statement was asked')
  const connection = await openPg(databaseUrl)
  const byConnection = async () => {
    const { id } = newTask()
    const { rows } = await connection.query({
      sql: statement.sql,
      params: statement.params.map((value) => value?.replaceAll(sample.id, id) ?? null),
    })
    if (rows.length !== 1) throw new Error('a task was not inserted')
  }
  return {
    byProxy,
    byConnection,
    close: async () => {
      await connection.close()
      await proxy.child.stop()
    },
  }
}
