// Events per second of one task, beside the least that could carry them the same way (worker/bare-worker.ts).
import { once } from 'node:events'
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises'
import { WebSocket } from 'ws'
import { startStack } from '../dev/stack.ts'
import type { Stack } from '../dev/stack.ts'
import { startBareWorker } from './bare.ts'
import { percentile, printTable } from './table.ts'

const eventCount = Number(process.env.RDEV_BENCH_EVENTS ?? 50_000)
const rounds = 5
const text = 'a line of what an agent would say, long enough to be one, and short enough to come often. '

/** A provider's binary that says `eventCount` things as fast as it can, in Claude Code's own format, once the reader is there. */
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
  await writeFile(
    `${directory}/claude`,
    `#!/bin/sh\ncat >/dev/null\nuntil [ -e "$HOME/go" ]; do sleep 0.05; done\nyes '${message}' | head -n ${eventCount}\necho '${result}'\n`,
  )
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
  const go = `${stack.dataDirectory}/pods/demo/go`
  await writeFile(go, '')
  const { firstAt, lastAt } = await countInStream(response, 'event: message.assistant\n', eventCount)
  await stack.client.finished(id)
  await rm(go)
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

export async function rate(directory: string): Promise<void> {
  const chatty = `${directory}/chatty-bin`
  await chattyAgent(chatty)
  const stack = await startStack({ dataDirectory: `${directory}/rate`, port: 0, podPath: chatty })
  try {
    const ours: number[] = []
    const bare: number[] = []
    let bytes = 0
    // The two alternate, so that a noisy moment of the machine affects both; the first round warms up.
    for (let round = 0; round <= rounds; round++) {
      const line = await lineRate(stack)
      bytes = line.bytes
      const raw = await bareRate(bytes)
      if (round === 0) continue
      ours.push(line.perSecond)
      bare.push(raw)
    }
    const [median, bareMedian] = [percentile(ours, 0.5), percentile(bare, 0.5)]
    printTable(
      `Events of one task (${eventCount} of ${bytes} bytes; median of ${rounds} rounds)`,
      ['', 'events/s', 'ratio'],
      [
        ['bare WebSocket → Durable Object SQLite → SSE', bareMedian, 1],
        ['the line', median, median / bareMedian],
      ],
    )
  } finally {
    await stack.stop()
  }
}
