// The lives of pod-life.ts, with the pods of the build in that directory.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type * as directoriesModule from '../cluster-agent/src/pods/attempt-directories.ts'
import type * as hostModule from '../cluster-agent/src/pods/local/host.ts'

const build = (file: string): string => pathToFileURL(join(process.argv[2]!, 'cluster-agent/src/pods', file)).href
const { createAttemptDirectories } = (await import(build('attempt-directories.ts'))) as typeof directoriesModule
const { createLocalHost } = (await import(build('local/host.ts'))) as typeof hostModule

const home = await mkdtemp(join(tmpdir(), 'rdev-pod-life-'))
const pod = {
  name: 'pod',
  role: 'project',
  project_id: 'p',
  slots: 4,
  directory: home,
  env: {},
  allow_bypass_permissions: false,
  providers: [],
} as const
const host = createLocalHost({ pods: [pod], path: '/usr/local/bin:/usr/bin:/bin' })
const directories = createAttemptDirectories(host, () => {})
const signal = new AbortController().signal
let next = 0

async function life(): Promise<void> {
  const name = `task_${String(++next).padStart(26, '0')}.1`
  await directories.start('pod', name, { script: 'exec true', stdin: '', timeout_s: 60 })
  const ended = directories.ended('pod', name, signal)
  for await (const _ of directories.follow('pod', name, { stdout: 0, stderr: 0 }, signal));
  await ended
  await directories.remove('pod', name)
  // The next spare is ready before the next life begins, as where one attempt follows another after a while.
  await new Promise((resolve) => setTimeout(resolve, 150))
}

process.on('message', async (what: number | 'end') => {
  if (what === 'end') {
    await directories.close()
    await host.close()
    await rm(home, { recursive: true, force: true })
    process.exit()
  }
  const before = process.cpuUsage()
  const began = performance.now()
  for (let i = 0; i < what; i++) await life()
  const { user, system } = process.cpuUsage(before)
  process.send?.({ ownMs: (user + system) / 1000, tookMs: performance.now() - began })
})
await life()
process.send?.('ready')
