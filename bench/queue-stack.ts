// The whole stack on the PostgreSQL server, as the parts of `bench:queue` need it.
import { Client } from 'pg'
import { createShellTaskSchema } from '@rdev/shared/api/tasks'
import { startStack } from '../dev/stack.ts'
import type { Stack, StackOptions } from '../dev/stack.ts'

export interface QueueRun {
  readonly serverUrl: string
  readonly directory: string
}

export interface QueueStack extends Stack {
  readonly databaseUrl: string
  /** Straight to the database: for what no client may do, and to see what is there. */
  sql(text: string, values?: readonly unknown[]): Promise<Record<string, unknown>[]>
}

export async function startQueueStack(run: QueueRun, name: string, options: Partial<StackOptions> = {}): Promise<QueueStack> {
  const stack = await startStack({
    dataDirectory: `${run.directory}/${name}`,
    port: 0,
    logLevel: 'warn',
    onLog: (text) => process.stderr.write(text),
    database: { serverUrl: run.serverUrl },
    ...options,
  })
  const { databaseUrl, stop } = stack
  if (databaseUrl === undefined) throw new Error('the stack has no database on the server')
  const client = new Client({ connectionString: databaseUrl })
  await client.connect()
  // A lane that is never full: what is measured is the queue, not its limit.
  await client.query('UPDATE projects SET max_running = 10000')
  return Object.assign(stack, {
    databaseUrl,
    sql: async (text: string, values: readonly unknown[] = []) => (await client.query<Record<string, unknown>>(text, [...values])).rows,
    stop: async () => {
      await client.end()
      await stop()
    },
  })
}

/** What is accepted and run: it holds no working copy, so that many may run beside each other. */
export const trueTask = {
  kind: 'shell',
  project_id: 'demo',
  command: 'true',
  ...('workspace' in createShellTaskSchema.shape ? { workspace: null } : {}),
}
