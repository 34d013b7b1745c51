import { mkdtemp } from 'node:fs/promises'
import { WebSocket } from 'ws'
import { bundleControlPlane } from './bundle.ts'
import { startControlPlane } from './control-plane.ts'
import { startDatabase } from './neon-proxy/embedded.ts'
import { startBareWorker } from '../bench/bare.ts'

import { execSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
let pid = 0
const cpu = () => { const f = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' '); return (Number(f[11]) + Number(f[12])) * 10 }
const kids = () => execSync(`ps -o pid= --ppid ${process.pid} -o comm= | grep workerd | awk '{print $1}'`).toString().trim().split('\n').map(Number)
const dir = await mkdtemp('/tmp/perf/x-')
const N = Number(process.env.N ?? 30000), B = Number(process.env.B ?? 64)
const db = await startDatabase(`${dir}/pg`)
const bundle = await bundleControlPlane(`${dir}/main.js`)
const admin = 'admin-key-admin-key-admin'
const cp = await startControlPlane({ host: '127.0.0.1', port: 0, directory: `${dir}/do`, bundle, vars: { DATABASE_URL: db.connectionString, NEON_FETCH_ENDPOINT: db.fetchEndpoint, RDEV_ADMIN_KEY: admin, RDEV_TOKEN_SECRET: 'x'.repeat(40) }, onOutput: (t) => process.stderr.write(t) })
const api = async (method: string, path: string, body?: unknown) => {
  const r = await fetch(cp.url + path, { method, headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/json' }, body: body === undefined ? undefined : JSON.stringify(body) })
  if (!r.ok) throw new Error(`${r.status} ${await r.text()}`)
  return r.json() as Promise<any>
}
const { key } = await api('POST', '/v1/keys', { name: 'a', scopes: ['cluster:connect'], cluster_id: 'c' })
const ws = cp.url.replace('http', 'ws')
const hub = new WebSocket(`${ws}/v1/clusters/c/connect`, { headers: { authorization: `Bearer ${key}` } })
await new Promise((r) => hub.on('open', r))
const wait: ((t: any) => void)[] = []
hub.on('message', (d) => { const f = JSON.parse(String(d)); if (f.type === 'assign') for (const t of f.tasks) wait.shift()?.(t) })
hub.send(JSON.stringify({ type: 'hello', protocol: 1, agent_version: '1', instance: 'instance', agent_time: Date.now(), attempts: [], pods: [{ name: 'demo', uid: 'u', role: 'project', project_id: 'demo', ready: true, slots: 50, providers: [], allow_bypass_permissions: false }] }))
await new Promise((r) => setTimeout(r, 1500))
const pct = (a: number[], p: number) => a.toSorted((x, y) => x - y)[Math.floor(a.length * p)]!.toFixed(2)
const run = async () => { const p = new Promise<any>((r) => wait.push(r)); const t0 = performance.now(); await api('POST', '/v1/projects/demo/shell', { command: 'true' }); const posted = performance.now() - t0; const t = await p; return { t, took: performance.now() - t0, posted } }
const took: number[] = [], posted: number[] = []
const lineTook: number[] = []
const open = async (t: any) => {
  const line = new WebSocket(`${ws}/v1/tasks/${t.task_id}/attempts/1/connect`, { headers: { authorization: `Bearer ${t.token}` }, perMessageDeflate: false })
  await new Promise((r, j) => { line.once('message', r); line.on('error', j) })
  return line
}

const blast = async (label: string, withReader: boolean) => {
  const { t } = await run()
  const line = await open(t)
  let received = 0, sentN = 0
  const text = 'x'.repeat(100)
  const ac = new AbortController()
  const reader = withReader ? (async () => {
    const res = await fetch(`${cp.url}/v1/tasks/${t.task_id}/events`, { headers: { authorization: `Bearer ${admin}`, accept: 'text/event-stream' }, signal: ac.signal })
    let n = 0
    for await (const chunk of res.body!) { for (const c of new TextDecoder().decode(chunk).matchAll(/\nid:|^id:/g)) { void c; n++ }; if (n >= N) break }
  })() : null
  if (withReader) await new Promise((r) => setTimeout(r, 300))
  const t1 = performance.now(), c1 = cpu()
  let allAcked = () => {}
  const acked = new Promise<void>((r) => { allAcked = r })
  const batch = Array.from({ length: B }, () => ({ type: 'output', time: '2026-11-23T08:00:00.000Z', data: { stream: 'stdout', text } }))
  const pump = () => { while (sentN < N && sentN - received < 2048) { line.send(JSON.stringify({ type: 'events', after: sentN, cursor: { stdout: sentN, stderr: 0 }, events: batch })); sentN += B } if (received >= N) allAcked() }
  line.on('message', (d) => { const f = JSON.parse(String(d)); if (f.type === 'ack') { received = f.received; pump() } })
  pump(); await acked
  const t2 = performance.now()
  await reader
  const t3 = performance.now()
  console.log(label, 'us cpu/event', ((cpu() - c1) * 1000 / N).toFixed(1), 'acked/s', Math.round(N / (t2 - t1) * 1000), 'read/s', Math.round(N / (t3 - t1) * 1000))
  line.close()
}
pid = kids()[0]!
for (let r = 0; r < 2; r++) { await blast('no reader', false); await blast('with SSE', true) }
{
  const bare = await startBareWorker(); pid = kids()[1]!
  for (const rd of [false, true]) {
    const w = new WebSocket(bare.url.replace('http', 'ws'), { perMessageDeflate: false })
    await new Promise((r) => w.on('open', r))
    const lines = Array.from({ length: B }, (_, i) => `{"seq":${i},"type":"output","time":"2026-11-23T08:00:00.000Z","task_id":"task_01m83jq4h64b369bcs7kxp0xdt","attempt":1,"data":{"stream":"stdout","text":"${'x'.repeat(100)}"}}`).join('\n')
    const reader = rd ? (async () => { const res = await fetch(bare.url); let n = 0; for await (const chunk of res.body!) { for (const c of new TextDecoder().decode(chunk).matchAll(/data:/g)) { void c; n++ }; if (n >= N) break } })() : null
    if (rd) await new Promise((r) => setTimeout(r, 300))
    let s = 0, got = 0; const c1 = cpu(); const t1 = performance.now(); let fin = () => {}; const p = new Promise<void>((r) => { fin = r })
    const pump = () => { while (s < N && s - got < 2048) { w.send(lines); s += B } if (got >= N) fin() }
    w.on('message', () => { got += B; pump() }); pump(); await p; const t2 = performance.now(); await reader; const t3 = performance.now()
    console.log('bare', rd, 'us cpu/event', ((cpu() - c1) * 1000 / N).toFixed(1), 'acked/s', Math.round(N / (t2 - t1) * 1000), 'read/s', Math.round(N / (t3 - t1) * 1000))
    w.close()
  }
}
await cp.stop().catch(() => {}); process.exit(0)
/*// throughput
const { t } = await run()
const line = await open(t)
let received = 0, sentN = 0
const text = 'x'.repeat(100)
const t1 = performance.now()
const reader = (async () => {
  const res = await fetch(`${cp.url}/v1/tasks/${t.task_id}/events`, { headers: { authorization: `Bearer ${admin}`, accept: 'text/event-stream' } })
  let n = 0
  for await (const chunk of res.body!) { for (const c of new TextDecoder().decode(chunk).matchAll(/\nid:|^id:/g)) { void c; n++ }; if (n >= N) break }
})()
const pump = () => { while (sentN < N && sentN - received < 2048) { const events = Array.from({ length: B }, () => ({ type: 'output', time: '2026-11-23T08:00:00.000Z', data: { stream: 'stdout', text } })); line.send(JSON.stringify({ type: 'events', after: sentN, cursor: { stdout: sentN, stderr: 0 }, events })); sentN += B } }
line.on('message', (d) => { const f = JSON.parse(String(d)); if (f.type === 'ack') { received = f.received; pump() } })
pump(); await reader
const secs = (performance.now() - t1) / 1000
console.log('line events/s', Math.round(N / secs))
// latency one at a time
const { t: t2 } = await run()
const line2 = await open(t2)
const res = await fetch(`${cp.url}/v1/tasks/${t2.task_id}/events`, { headers: { authorization: `Bearer ${admin}`, accept: 'text/event-stream' } })
const rd = res.body!.getReader(); const lat: number[] = [], ackLat: number[] = []
let got: () => void = () => {}
void (async () => { for (;;) { const { value, done } = await rd.read(); if (done) return; if (String.fromCharCode(...value!).includes('output')) got() } })()
for (let i = 0; i < 200; i++) {
  await new Promise((r) => setTimeout(r, 10))
  const t0 = performance.now()
  const p = new Promise<void>((r) => { got = r }); const q = new Promise((r) => line2.once('message', r))
  line2.send(JSON.stringify({ type: 'events', after: i, cursor: { stdout: i, stderr: 0 }, events: [{ type: 'output', time: '2026-11-23T08:00:00.000Z', data: { stream: 'stdout', text } }] }))
  void q.then(() => ackLat.push(performance.now() - t0)); await p; lat.push(performance.now() - t0)
}
console.log('latency send→SSE p50/p95', pct(lat, 0.5), pct(lat, 0.95), 'ack', pct(ackLat, 0.5), pct(ackLat, 0.95))
await cp.stop(); await db.close(); process.exit(0)
*/