// A process that is small enough for its forks to be cheap: that of the bench holds a database, and pays for it at each spawn.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { startCommand, tookMs, wallMs } from './clock.ts'

process.on('message', async () => {
  const asked = wallMs()
  const child = spawn('sh', ['-c', startCommand], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
  await once(child, 'close')
  process.send?.(tookMs(asked, said))
})
