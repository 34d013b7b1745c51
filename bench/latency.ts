// Event latency: from a process's write to whoever reads it.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Stack } from '../dev/stack.ts'
import { clockReader, clockScript } from './clock.ts'
import { shellTask } from './shell-task.ts'

/** The process's own pipe. */
export async function pipeLatency(): Promise<readonly number[]> {
  const child = spawn(process.execPath, ['-e', clockScript], { stdio: ['ignore', 'pipe', 'inherit'] })
  const { late, read } = clockReader()
  child.stdout.setEncoding('utf8').on('data', read)
  await once(child, 'close')
  return late
}

/** A client's stream of Server-Sent Events. */
export async function lineLatency(stack: Stack): Promise<readonly number[]> {
  const { late, read } = clockReader()
  await shellTask(stack, `exec node -e '${clockScript}'`, read)
  return late
}
