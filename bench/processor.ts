// Processor time by program, from /proc, and of the processes in the pods.
import { readdir, readFile } from 'node:fs/promises'
import { Client } from 'pg'
import type { Account } from './account.ts'

/** Ticks of /proc are 10 ms on every Linux that this runs on. */
const tickMs = 10

export interface Programs {
  /** Process groups by name. */
  readonly groups: Readonly<Record<string, number>>
  /** A workerd that this program started by itself. */
  readonly workerd?: string
  /** The server's processes that serve this database. */
  readonly databaseUrl?: string | undefined
  /** Of the agent and its pods together. */
  readonly account?: Account | undefined
}

export type Shares = Readonly<Record<string, number>>

/** Runs `work`; answers what it did and milliseconds of processor by program. `pods` are the processes that the agent started. */
export async function processorOf<Result>(programs: Programs, work: () => Promise<Result>): Promise<{ result: Result; usedMs: Shares }> {
  const before = await look(programs)
  const result = await work()
  const after = await look(programs)
  const usedMs = Object.fromEntries(Object.entries(after).map(([name, ms]) => [name, ms - (before[name] ?? 0)]))
  // The agent's own is told in ticks, and may be more than the group's by one.
  if (usedMs.pods !== undefined) usedMs.pods = Math.max(0, usedMs.pods - (usedMs.agent ?? 0))
  return { result, usedMs }
}

async function look({ groups, databaseUrl, account, workerd }: Programs): Promise<Record<string, number>> {
  const backends = databaseUrl === undefined ? new Set<number>() : await backendsOf(databaseUrl)
  const used: Record<string, number> = { 'this program': 0, ...Object.fromEntries(Object.keys(groups).map((name) => [name, 0])) }
  if (databaseUrl !== undefined) used.postgres = 0
  if (workerd !== undefined) used[workerd] ??= 0
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const stat = await readFile(`/proc/${entry}/stat`, 'latin1').catch(() => '')
    // Fields are counted after the name, which may hold anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const group = Number(fields[2])
    const ms = (Number(fields[11]) + Number(fields[12])) * tickMs
    const name = Object.keys(groups).find((one) => groups[one] === group)
    if (backends.has(Number(entry))) used.postgres! += ms
    else if (name !== undefined) used[name]! += ms
    else if (workerd !== undefined && Number(fields[1]) === process.pid && stat.includes('(workerd)')) used[workerd]! += ms
    else if (Number(entry) === process.pid) used['this program']! += ms
  }
  if (account !== undefined) used.pods = await account.usedMs()
  return used
}

/** Milliseconds of processor that the server's processes of a database have taken, to the microsecond. */
export async function serverClock(url: string): Promise<() => Promise<number>> {
  const files = [...(await backendsOf(url))].map((pid) => `/proc/${pid}/schedstat`)
  return async () => {
    const texts = await Promise.all(files.map((file) => readFile(file, 'latin1').catch(() => '0')))
    return texts.reduce((sum, text) => sum + Number(text.split(' ')[0]) / 1e6, 0)
  }
}

async function backendsOf(url: string): Promise<Set<number>> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    const { rows } = await client.query<{ pid: number }>(
      'SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
    )
    return new Set(rows.map(({ pid }) => pid))
  } finally {
    await client.end()
  }
}
