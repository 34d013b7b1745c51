// Event latency: from a process's write to whoever reads it.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { WebSocket } from 'ws'
import type { Stack } from '../dev/stack.ts'
import { startBareWorker } from './bare.ts'
import { clockLines, clockReader, clockScript } from './clock.ts'
import { shellTask } from './shell-task.ts'

/** The process's own pipe. */
export async function pipeLatency(): Promise<readonly number[]> {
  const child = spawn(process.execPath, ['-e', clockScript], { stdio: ['ignore', 'pipe', 'inherit'] })
  const { late, read } = clockReader()
  child.stdout.setEncoding('utf8').on('data', read)
  await once(child, 'close')
  return late
}

/** The same process, its lines by hand through the bare worker: what the platform takes for socket, write to disk and stream. */
export async function bareLatency(): Promise<readonly number[]> {
  const bare = await startBareWorker()
  const response = await fetch(`${bare.url}/events`, { headers: { 'accept-encoding': 'identity' } })
  const socket = new WebSocket(bare.url.replace('http', 'ws'), { perMessageDeflate: false })
  await once(socket, 'open')
  const child = spawn(process.execPath, ['-e', clockScript], { stdio: ['ignore', 'pipe', 'inherit'] })
  child.stdout.setEncoding('utf8').on('data', (text: string) => socket.send(text.trimEnd()))
  const { late, read } = clockReader()
  for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
    read(text.replaceAll(/data: |\n(?=\n)/g, ''))
    if (late.length >= clockLines) break
  }
  socket.close()
  await bare.stop()
  return late
}

/** A client's stream of Server-Sent Events. */
export async function lineLatency(stack: Stack): Promise<readonly number[]> {
  const { late, read } = clockReader()
  await shellTask(stack, `exec node -e '${clockScript}'`, read)
  return late
}
