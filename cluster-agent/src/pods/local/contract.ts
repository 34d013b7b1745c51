// The contract suite on local pods, for one shell at a time, so that the shells are tested side by side.

import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'vitest'
import { podHostContract } from '../contract/contract.ts'
import { withCutter } from '../contract/judge.ts'
import { fullDiskContract } from './full-disk.ts'
import { createLocalHost, type LocalPod } from './host.ts'

export const systemPath = `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`

export const localPod = (directory: string, more: Partial<LocalPod> = {}): LocalPod => ({
  name: 'pod',
  role: 'worker',
  project_id: null,
  slots: 4,
  directory,
  env: {},
  allow_bypass_permissions: false,
  providers: [],
  ...more,
})

/** A folder for the PATH in which `sh` is another shell. */
function pathWith(shell: 'dash' | 'bash' | 'busybox', folder: string): string | undefined {
  const bin = join(folder, `bin-${shell}`)
  mkdirSync(bin)
  try {
    const program = execFileSync('sh', ['-c', `command -v ${shell}`], { encoding: 'utf8' }).trim()
    // All tools of busybox, as in an image that has nothing else; node is for the test's own server.
    const names = shell === 'busybox' ? execFileSync(program, ['--list'], { encoding: 'utf8' }).trim().split('\n') : ['sh']
    for (const name of names) symlinkSync(program, join(bin, name))
    if (shell !== 'busybox') return `${bin}:${systemPath}`
    symlinkSync(process.execPath, join(bin, 'node'))
    return bin
  } catch {
    return undefined
  }
}

/** The contract on local pods whose `sh` is this shell. */
export function localContract(shell: 'dash' | 'bash' | 'busybox'): void {
  const folder = mkdtempSync(join(tmpdir(), 'rdev-pods-'))
  const path = pathWith(shell, folder)
  if (path === undefined) return void test.skip(`there is no ${shell} here`)
  // This hook must be first: the end of the other removes the folder of the shell.
  fullDiskContract(shell, path)
  podHostContract(`local, ${shell}`, async () => {
    const directory = join(folder, "home of o'pod")
    mkdirSync(directory)
    const local = createLocalHost({ pods: [localPod(directory)], path })
    const { host, cut } = withCutter(local)
    return {
      host,
      pod: 'pod',
      cut,
      async close() {
        await local.close()
        rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
      },
    }
  })
}
