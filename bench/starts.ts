// Start: from when a process was asked for to when it ran.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Stack } from '../dev/stack.ts'
import { startCommand, timeStarts, tookMs, wallMs } from './clock.ts'
import { shellTask } from './shell-task.ts'

export const spawnStarts = (): Promise<number[]> =>
  timeStarts(async () => {
    const asked = wallMs()
    const child = spawn('sh', ['-c', startCommand], { stdio: ['ignore', 'pipe', 'inherit'] })
    let said = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
    await once(child, 'close')
    return tookMs(asked, said)
  })

export const taskStarts = (stack: Stack): Promise<number[]> =>
  timeStarts(async () => {
    const asked = wallMs()
    let said = ''
    await shellTask(stack, startCommand, (text) => (said += text))
    return tookMs(asked, said)
  })

/** The first tasks pay for code that was never run. */
export async function warmUp(stack: Stack): Promise<void> {
  for (let i = 0; i < 5; i++) await shellTask(stack, 'true', () => {})
}
