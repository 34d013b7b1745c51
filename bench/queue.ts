// What the queue does, each figure beside graphile-worker and pg-boss on the same PostgreSQL server in the same run. docs/bench.md says
// what each row means.
//   npm run bench:queue                       the quick one
//   npm run bench:queue -- --full             with 1 million queued
//   npm run bench:queue -- accept             one part of it: accept, life, claim or start
import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { Client } from 'pg'
import { execFileSync } from 'node:child_process'
import { repository } from '../dev/bundle.ts'
import { wantedParts } from './options.ts'
import { acceptance } from './queue-accept.ts'
import { claims } from './queue-claim.ts'
import { lives } from './queue-life.ts'
import { wakes } from './queue-start.ts'

const serverUrl =
  process.env.RDEV_TEST_POSTGRES_URL ?? execFileSync(`${repository}dev/postgres-server.sh`, ['start'], { encoding: 'utf8' }).trim()
const directory = await mkdtemp(`${tmpdir()}/rdev-bench-queue-`)
const run = { serverUrl, directory }
const parts = wantedParts({
  accept: () => acceptance(run),
  life: () => lives(run),
  claim: () => claims(run),
  start: () => wakes(run),
})

const server = new Client({ connectionString: serverUrl })
await server.connect()
const { rows } = await server.query<{ line: string }>(
  `SELECT 'PostgreSQL ' || current_setting('server_version') || ', ' || string_agg(name || '=' || setting, ' ') AS line FROM pg_settings
   WHERE name IN ('fsync', 'synchronous_commit', 'shared_buffers')`,
)
await server.end()
console.log(`load average ${loadavg()[0]?.toFixed(2)}, ${availableParallelism()} cores, Node ${process.version}, ${rows[0]?.line}`)
for (const part of parts) await part()
await rm(directory, { recursive: true, force: true })
process.exit(0)
