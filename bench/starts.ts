// Start: from when a process was asked for to when it ran.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import type { Stack } from '../dev/stack.ts'
import { startCommand, timeStarts, tookMs, wallMs } from './clock.ts'
import { shellTask } from './shell-task.ts'

/** The raw limit: the same command by a plain spawn, from a small process. */
export async function spawnStarts(): Promise<number[]> {
  const spawner = fork(new URL('./spawner.ts', import.meta.url))
  try {
    return await timeStarts(async () => {
      spawner.send('spawn')
      const [took] = await once(spawner, 'message')
      return Number(took)
    })
  } finally {
    spawner.kill()
  }
}

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
