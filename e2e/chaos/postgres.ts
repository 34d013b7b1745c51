// A PostgreSQL server of one test, from the Debian binaries. It can be killed, restarted, left without free connections, and pinned. Its data is in
// a folder of its own, which is removed with it. It does not sync to disk, because only processes are killed, never the computer.
import { execFile, execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chown, mkdtemp, readdir, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { promisify } from 'node:util'
import { Client } from 'pg'

const run = promisify(execFile)
const startMs = 60_000

export interface PostgresServer extends AsyncDisposable {
  /** The URL for a user that may make databases and cannot use the connections reserved for a superuser. */
  readonly url: string
  readonly running: boolean
  start(): Promise<void>
  /** SIGKILL to the postmaster. Every backend ends when it notices. */
  kill(): Promise<void>
  /** Stops it at once, without a checkpoint, and starts it again, like a crash of the service. */
  restart(): Promise<void>
  /** Ends all connections except the superuser's. Answers how many there were. */
  terminateBackends(): Promise<number>
  /** Takes every connection, also those in use, so that no one gets one. */
  exhaust(): Promise<{ readonly held: number; release(): Promise<void> }>
  /** Opens a transaction in this database that keeps its snapshot, so that vacuum cannot remove dead rows. */
  pinSnapshot(url: string): Promise<{ release(): Promise<void> }>
  /** Runs a query as the superuser, in the database `postgres` unless another is named. */
  rows(sql: string, url?: string | undefined): Promise<Record<string, unknown>[]>
}

export async function ownPostgres({ maxConnections = 40 }: { readonly maxConnections?: number } = {}): Promise<PostgresServer> {
  const binaries = await newestBinaries()
  const owner = ownerOfServer()
  const home = await mkdtemp(`${tmpdir()}/rdev-chaos-postgres-`)
  if (owner) await chown(home, owner.uid, owner.gid)
  const data = `${home}/data`
  await run(`${binaries}/initdb`, ['-D', data, '-U', 'rdev', '--auth=trust', '--no-sync', '-E', 'UTF8'], { ...owner, cwd: home })
  const port = await freePort()
  const urlOf = (user: string, database = '/postgres') => `postgres://${user}@127.0.0.1:${port}${database}`
  const settings = {
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: home,
    max_connections: maxConnections,
    fsync: 'off',
    shared_preload_libraries: 'pg_stat_statements',
  }
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  let server: ChildProcess | undefined
  /** A program that ends the server and removes its data when this process is gone: it waits for the end of its stdin. */
  let heir: ChildProcess | undefined
  const clients = new Set<Client>()

  const connect = async (to: string) => {
    const client = new Client({ connectionString: to, connectionTimeoutMillis: 5_000 })
    // A killed server ends its connections. A caller in the middle of a query gets the error there.
    client.on('error', () => {})
    client.once('end', () => clients.delete(client))
    await client.connect()
    clients.add(client)
    return client
  }
  const superuser = (url?: string) => connect(urlOf('rdev', url && new URL(url).pathname))
  const rows: PostgresServer['rows'] = async (sql, of) => {
    const client = await superuser(of)
    try {
      return (await client.query<Record<string, unknown>>(sql)).rows
    } finally {
      await client.end()
    }
  }

  const start = async () => {
    for (const deadline = Date.now() + startMs; ;) {
      server = spawn(`${binaries}/postgres`, ['-D', data, ...flags], { ...owner, cwd: home, stdio: 'ignore' })
      heir?.kill('SIGKILL')
      const will = `cat; kill -QUIT "$1"; rm -rf "$2"`
      heir = spawn('sh', ['-c', will, 'sh', String(server.pid), home], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
      const exited = once(server, 'exit').then(() => 'exited' as const)
      for (;;) {
        const answered = await Promise.race([exited, rows('select 1').catch(() => undefined)])
        // Children of a killed server may still hold its shared memory; it starts when they are gone.
        if (answered === 'exited') break
        if (answered) return
        await pause(50)
      }
      if (Date.now() > deadline) throw new Error('PostgreSQL did not start')
      await pause(200)
    }
  }
  const end = async (signal: NodeJS.Signals) => {
    const ended = server
    server = undefined
    heir?.kill('SIGKILL')
    if (!ended || ended.exitCode !== null || ended.signalCode !== null) return
    ended.kill(signal)
    await once(ended, 'exit')
  }
  await start()
  await rows('create role stack login createdb')
  await rows('create role crowd login')
  return {
    url: urlOf('stack'),
    get running() {
      return server !== undefined
    },
    start,
    kill: () => end('SIGKILL'),
    restart: async () => {
      await end('SIGQUIT')
      await start()
    },
    terminateBackends: async () => {
      const others = `backend_type = 'client backend' and usename <> 'rdev'`
      return (await rows(`select pg_terminate_backend(pid) from pg_stat_activity where ${others}`)).length
    },
    exhaust: async () => {
      const held: Client[] = []
      // It was refused several times in a row after all others were ended, so no connection is free and no one else has one.
      for (let refused = 0; refused < 3;) {
        const others = `backend_type = 'client backend' and usename not in ('crowd', 'rdev')`
        await rows(`select pg_terminate_backend(pid, 1000) from pg_stat_activity where ${others}`)
        for (let full = false; !full;) {
          try {
            held.push(await connect(urlOf('crowd')))
            refused = 0
          } catch (error) {
            if ((error as { code?: string }).code !== '53300') throw error
            full = true
            refused++
          }
        }
      }
      return { held: held.length, release: async () => void (await Promise.all(held.map((client) => client.end()))) }
    },
    pinSnapshot: async (of) => {
      const client = await superuser(of)
      await client.query('begin isolation level repeatable read')
      await client.query('select txid_current_snapshot()')
      return { release: () => client.end() }
    },
    rows,
    async [Symbol.asyncDispose]() {
      heir?.kill('SIGKILL')
      await Promise.allSettled([...clients].map((client) => client.end()))
      await end('SIGQUIT')
      await rm(home, { recursive: true, force: true })
    },
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

async function newestBinaries(): Promise<string> {
  const versions = (await readdir('/usr/lib/postgresql').catch(() => [])).sort((a, b) => Number(a) - Number(b))
  const newest = versions.at(-1)
  if (newest === undefined) throw new Error('needs a PostgreSQL server: dev/postgres-server.sh start installs Debian’s')
  return `/usr/lib/postgresql/${newest}/bin`
}

/** The server refuses root; Debian's package brings the user postgres. */
function ownerOfServer(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
  return { uid: id('-u'), gid: id('-g') }
}

async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve))
  const { port } = probe.address() as AddressInfo
  await new Promise((resolve) => probe.close(resolve))
  return port
}
