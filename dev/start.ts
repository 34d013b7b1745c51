// `npm start`: everything embedded, one real task shown from start to end, then the API until Ctrl-C.
// `npm run dev`: the same without that task (--without-demo).
import { createServer } from 'node:net'
import type { TaskView } from '@rdev/shared/api/tasks'
import type { Child } from './child.ts'
import { printEvent } from './print-events.ts'
import { readSettings } from './settings.ts'
import { startStack } from './stack.ts'
import type { Stack } from './stack.ts'
import { welcome } from './welcome.ts'

const say = (text: string) => console.log(text)

/** Rejects with what to do when the port is taken, before anything is started. */
const portIsFree = (port: number) =>
  new Promise<void>((resolve, reject) => {
    const probe = createServer()
    probe.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        new Error(
          error.code === 'EADDRINUSE'
            ? `Port ${port} is in use. Choose another one: PORT=8788 npm start`
            : `Port ${port}: ${error.message}`,
        ),
      )
    })
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve()))
  })

/** One real task, shown event by event; answers its id. */
async function runDemo(client: Stack['client']): Promise<string> {
  const task = await client.task({
    kind: 'agent',
    project_id: 'demo',
    prompt: 'The test in this repository fails. Find out why, fix it, and run the test.',
  })
  say(`\nPOST /v1/tasks → ${task.id}; its events as they come:\n`)
  for await (const event of client.events(task.id, { resume: true })) printEvent(event)
  const ended = await client.finished(task.id)
  say(`\n${ended.status}: ${ended.result ?? ended.error ?? ''}\n`)
  return task.id
}

async function main(demo: boolean) {
  const settings = readSettings(process.env)
  await portIsFree(settings.port)
  say(`Starting rdev; its data is in ${settings.dataDirectory}`)
  const stack = await startStack({ ...settings, onLog: (text) => process.stderr.write(text) })

  let stopping = false
  const stop = async () => {
    if (stopping) return process.exit(1)
    stopping = true
    say('\nStopping (again to stop at once) …')
    await stack.stop()
    process.exit(0)
  }
  process.on('SIGINT', () => void stop())
  process.on('SIGTERM', () => void stop())

  /** Starts a program again when it ends by itself, after a second, so that one that cannot start does not run in a loop. */
  const keep = async (name: string, current: () => Child, startAgain: () => Promise<void>): Promise<void> => {
    for (;;) {
      const { code, signal } = await current().exited
      if (stopping) return
      say(`The ${name} ended (${signal ?? code}); starting it again.`)
      await new Promise((resolve) => setTimeout(resolve, 1000))
      if (!stopping) await startAgain()
    }
  }
  const failed = (error: unknown) => {
    console.error(error instanceof Error ? error.message : error)
    void stop()
  }
  keep('agent', () => stack.agent, stack.startAgent).catch(failed)
  keep('control plane', () => stack.controlPlane, stack.startControlPlane).catch(failed)

  const { client } = stack
  const earlier = await client.json<{ data: TaskView[] }>('GET', '/v1/tasks?limit=200')
  if (earlier.data.length > 0) say(`Found ${earlier.data.length === 200 ? 'at least 200' : earlier.data.length} earlier task(s) here.`)
  say(
    settings.model
      ? 'Claude Code runs against your model.'
      : 'No ANTHROPIC_API_KEY is set: Claude Code runs for real, against a scripted model on this machine.',
  )

  const taskId = demo ? await runDemo(client) : null
  const keyFile = settings.adminKey === undefined ? `${settings.dataDirectory}/secrets.json` : undefined
  const terminal = process.stdout.isTTY
  for (const line of welcome({ url: stack.url, adminKey: stack.adminKey, keyFile, terminal, taskId })) say(line)
}

await main(!process.argv.includes('--without-demo')).catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
})
