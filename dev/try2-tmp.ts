import { testPostgres } from './postgres-test.ts'
import { postgresStores } from '../control-plane/src/stores/postgres.ts'
const pg = await testPostgres()
// CPU of pieces: count backend time
let spent = 0
const b = pg.backend as any
for (const k of ['query', 'transaction']) {
  const o = b[k].bind(b)
  b[k] = async (...a: any[]) => {
    const t = performance.now()
    const p = o(...a)
    spent += performance.now() - t
    return p
  }
}
const s = postgresStores({ databaseUrl: pg.databaseUrl, fetchEndpoint: pg.fetchEndpoint, clock: { now: () => Date.now() } })
await s.projects.report('local', [
  { name: 'demo', uid: 'u', role: 'project', project_id: 'demo', ready: true, slots: 4, providers: [], allow_bypass_permissions: false },
])
const spec = {
  kind: 'agent',
  project_id: 'demo',
  provider: 'claude-code',
  prompt: 'p',
  command: null,
  session_id: 'ses_1',
  model: null,
  allowed_tools: null,
  permission_mode: null,
  working_dir: null,
  env: {},
  timeout_s: 60,
  queue_ttl_s: null,
  idle_timeout_s: null,
  priority: 100,
  retry: { max_attempts: 1, on: [] },
  target: 'project',
  deltas: false,
  labels: {},
  metadata: {},
} as const
const times: Record<string, number[][]> = {}
const time = async <T>(n: string, f: () => Promise<T>) => {
  spent = 0
  const t = performance.now()
  const r = await f()
  ;(times[n] ??= []).push([performance.now() - t, spent])
  return r
}
for (let i = 0; i < 300; i++) {
  const id = 'task_' + String(i).padStart(5, '0')
  await time('insert', () =>
    s.tasks.insert({ id, spec: { ...spec, session_id: 'ses_' + i }, created_by: 'k', created_at: Date.now(), new_session: true }),
  )
  const c = await time('claim', () =>
    s.tasks.claim({
      clusterId: 'local',
      claimId: 'c' + i,
      slots: [0, 1, 2, 3].map(() => ({ pod: 'demo', project_id: 'demo' })),
      leaseMs: 60000,
    }),
  )
  if (c.length !== 1) throw new Error('claim ' + c.length)
  await time('started', () => s.tasks.markStarted([{ task_id: id, attempt: 1, started_at: Date.now() }]))
  await time('renew', () => s.tasks.renew('local', [{ task_id: id, attempt: 1 }], 60000))
  await time('get', () => s.tasks.get(id, null))
  await time('finish', () =>
    s.tasks.finish(
      { task_id: id, attempt: 1 },
      {
        status: 'succeeded',
        exit_code: 0,
        result: 'x',
        error_code: null,
        error: null,
        usage: null,
        cost_usd: 0.5,
        duration_ms: 10,
        provider_session_id: 'prov',
      },
      null,
    ),
  )
  await time('nextDue', () => s.tasks.nextDue('local'))
  await time('list', () => s.tasks.list({ projects: null }, { limit: 50 }))
}
for (const [k, v] of Object.entries(times)) {
  const a = v.map((x) => x[0]!).sort((a, b) => a - b),
    b2 = v.map((x) => x[1]!).sort((a, b) => a - b)
  console.log(
    k.padEnd(8),
    'total p50',
    a[150]!.toFixed(2),
    'min',
    a[5]!.toFixed(2),
    'p95',
    a[285]!.toFixed(2),
    ' backend p50',
    b2[150]!.toFixed(2),
    'min',
    b2[5]!.toFixed(2),
  )
}
await pg.close()
