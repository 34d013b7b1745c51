// Start: from when a process was asked for to when it ran.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Stack } from '../dev/stack.ts'
import { startCommand, timeStarts, tookMs, wallMs } from './clock.ts'

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
    const { id } = await stack.client.task({ kind: 'shell', project_id: 'demo', command: startCommand })
    let said = ''
    for await (const event of stack.client.events(id)) if (event.type === 'output') said += String(event.data.text)
    return tookMs(asked, said)
  })

/** The first tasks pay for code that was never run. */
export async function warmUp(stack: Stack): Promise<void> {
  for (let i = 0; i < 5; i++) {
    const { id } = await stack.client.task({ kind: 'shell', project_id: 'demo', command: 'true' })
    await stack.client.finished(id)
  }
}
