// What the line costs, each figure beside the raw way in the same run.
//   npm run bench:line                 everything embedded, local pods
// Figures on a shared machine wander; read the ratios.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { WebSocket } from 'ws'
import { startBareWorker } from './bare.ts'
import { percentile, printTable } from './table.ts'
import { startStack } from '../dev/stack.ts'
import type { Stack } from '../dev/stack.ts'

const latencyLines = Number(process.env.RDEV_BENCH_LINES ?? 200)
const starts = Number(process.env.RDEV_BENCH_STARTS ?? 100)
const eventCount = Number(process.env.RDEV_BENCH_EVENTS ?? 50_000)

/** Wall clock in milliseconds with microseconds: comparable between processes of one machine. */
const wallMs = () => performance.timeOrigin + performance.now()

/** Writes its wall clock every 20 ms, `latencyLines` times. */
const clockScript = `let n=0;const t=setInterval(()=>{process.stdout.write((performance.timeOrigin+performance.now())+"\\n");if(++n>=${latencyLines})clearInterval(t)},20)`

async function directLatency(): Promise<number[]> {
  const child = spawn(process.execPath, ['-e', clockScript], { stdio: ['ignore', 'pipe', 'inherit'] })
  const late: number[] = []
  child.stdout.on('data', (chunk: Buffer) => {
    const now = wallMs()
    for (const line of chunk.toString().split('\n')) if (line) late.push(now - Number(line))
  })
  await once(child, 'close')
  return late
}

async function lineLatency(stack: Stack): Promise<number[]> {
  const { id } = await stack.client.task({ kind: 'shell', project_id: 'demo', command: `exec node -e '${clockScript}'` })
  const late: number[] = []
  for await (const event of stack.client.events(id)) {
    const now = wallMs()
    if (event.type !== 'output') continue
    for (const line of String(event.data.text).split('\n')) if (line) late.push(now - Number(line))
  }
  return late
}

// `date` is the process: it says when it ran.
const startCommand = 'date +%s.%N'

async function directStarts(): Promise<number[]> {
  const took: number[] = []
  for (let i = 0; i < starts; i++) {
    await pause()
    const asked = wallMs()
    const child = spawn('sh', ['-c', startCommand], { stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
    await once(child, 'close')
    took.push(Number(text) * 1000 - asked)
  }
  return took
}

/** One at a time, with a pause: what a task costs on a system that is ready for it, not how many can queue behind each other. */
const pauseMs = 150
const pause = () => new Promise((resolve) => setTimeout(resolve, pauseMs))

async function taskStarts(stack: Stack): Promise<number[]> {
  const took: number[] = []
  for (let i = 0; i < starts; i++) {
    await pause()
    const asked = wallMs()
    const { id } = await stack.client.task({ kind: 'shell', project_id: 'demo', command: startCommand })
    for await (const event of stack.client.events(id)) if (event.type === 'output') took.push(Number(event.data.text) * 1000 - asked)
  }
  return took
}

const text = 'a line of what an agent would say, long enough to be one, and short enough to come often. '

/** A provider's binary that says `eventCount` things as fast as it can, in Claude Code's own format. */
async function chattyAgent(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true })
  const message = JSON.stringify({
    type: 'assistant',
    message: { id: 'msg_1', role: 'assistant', content: [{ type: 'text', text }] },
    session_id: 's',
  })
  const result = JSON.stringify({
    type: 'result',
    subtype: 'success',
    is_error: false,
    result: 'done',
    session_id: 's',
    num_turns: 1,
    duration_ms: 1,
    total_cost_usd: 0,
    usage: {},
  })
  await writeFile(`${directory}/claude`, `#!/bin/sh\ncat >/dev/null\nyes '${message}' | head -n ${eventCount}\necho '${result}'\n`)
  await chmod(`${directory}/claude`, 0o755)
}

/** Counts a marker in a stream of text, also where it falls on a border of two chunks; answers when each chunk came and how many there were. */
async function countInStream(response: Response, marker: string, wanted: number): Promise<{ firstAt: number; lastAt: number }> {
  let firstAt = 0
  let count = 0
  let carry = ''
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    const text = carry + chunk
    const found = text.split(marker).length - 1
    carry = text.slice(
      text.lastIndexOf(marker) < 0
        ? -marker.length + 1
        : Math.max(text.lastIndexOf(marker) + marker.length, text.length - marker.length + 1),
    )
    if (found > 0 && count === 0) firstAt = performance.now()
    count += found
    if (count >= wanted) return { firstAt, lastAt: performance.now() }
  }
  throw new Error(`${count} of ${wanted} events arrived`)
}

async function lineRate(stack: Stack): Promise<{ perSecond: number; bytes: number }> {
  const { id } = await stack.client.task({ kind: 'agent', project_id: 'demo', prompt: 'talk' })
  const response = await stack.client.fetch('GET', `/v1/tasks/${id}/events`, { headers: { accept: 'text/event-stream' } })
  const { firstAt, lastAt } = await countInStream(response, 'event: message.assistant\n', eventCount)
  await stack.client.finished(id)
  const page = await stack.client.json<{ data: { type: string }[] }>('GET', `/v1/tasks/${id}/events?limit=20`)
  const bytes = JSON.stringify(page.data.find((event) => event.type === 'message.assistant')).length
  return { perSecond: (eventCount / (lastAt - firstAt)) * 1000, bytes }
}

async function bareRate(eventBytes: number): Promise<number> {
  const bare = await startBareWorker()
  const event = JSON.stringify({ seq: 1, data: 'x'.repeat(Math.max(1, eventBytes - 20)) })
  const batch = Array.from({ length: 64 }, () => event).join('\n')
  const response = await fetch(`${bare.url}/events`)
  const socket = new WebSocket(bare.url.replace('http', 'ws'), { perMessageDeflate: false })
  await once(socket, 'open')
  let sent = 0
  let unacked = 0
  const more = () => {
    // The same window as an attempt's line.
    while (sent < eventCount && unacked + batch.length <= 1024 * 1024) {
      socket.send(batch)
      sent += 64
      unacked += batch.length
    }
  }
  socket.on('message', (data: Buffer) => {
    unacked -= Number(data.toString())
    more()
  })
  more()
  const { firstAt, lastAt } = await countInStream(response, 'data: ', eventCount)
  socket.close()
  await bare.stop()
  return (eventCount / (lastAt - firstAt)) * 1000
}

const directory = await mkdtemp(`${tmpdir()}/rdev-bench-`)
const stack = await startStack({ dataDirectory: directory, port: 0 })
try {
  // The first tasks pay for code that was never run.
  for (let i = 0; i < 5; i++)
    await stack.client.task({ kind: 'shell', project_id: 'demo', command: 'true' }).then(({ id }) => stack.client.finished(id))
  const [direct, line] = [await directLatency(), await lineLatency(stack)]
  printTable(
    'Event latency: process write → reader (ms)',
    ['', 'p50', 'p95', 'p99'],
    [
      ['the process’s own pipe', ...[0.5, 0.95, 0.99].map((p) => percentile(direct, p))],
      ['the line, read as SSE', ...[0.5, 0.95, 0.99].map((p) => percentile(line, p))],
      ['added', ...[0.5, 0.95, 0.99].map((p) => percentile(line, p) - percentile(direct, p))],
    ],
  )
  const [spawned, posted] = [await directStarts(), await taskStarts(stack)]
  printTable(
    'Start: asked → process runs (ms)',
    ['', 'p50', 'p95', 'ratio p50'],
    [
      ['spawn of the same command', percentile(spawned, 0.5), percentile(spawned, 0.95), 1],
      ['POST /v1/tasks', percentile(posted, 0.5), percentile(posted, 0.95), percentile(posted, 0.5) / percentile(spawned, 0.5)],
    ],
  )
} finally {
  await stack.stop()
}

const chatty = `${directory}/chatty-bin`
await chattyAgent(chatty)
const second = await startStack({ dataDirectory: `${directory}/rate`, port: 0, podPath: chatty })
try {
  const ours = await lineRate(second)
  const bare = await bareRate(ours.bytes)
  printTable(
    `Events of one task (${eventCount} of ${ours.bytes} bytes)`,
    ['', 'events/s', 'ratio'],
    [
      ['bare WebSocket → Durable Object SQLite → SSE', bare, 1],
      ['the line', ours.perSecond, ours.perSecond / bare],
    ],
  )
} finally {
  await second.stop()
  await rm(directory, { recursive: true, force: true })
}
