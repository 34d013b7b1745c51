// Whatever ends an agent or removes a home ends what the agent had in that home: shells, warm supervisors, attempts.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { attemptOf } from '../contract/judge.ts'
import { localPod, systemPath } from './contract.ts'
import { createLocalHost } from './host.ts'

const shells = ['dash', 'bash'].filter((shell) => existsSync(`/bin/${shell}`))

/** `setsid` is what a warm supervisor starts with; `instead` runs before the first of the two. */
function setup(shell: string, instead = '') {
  const folder = mkdtempSync(join(tmpdir(), 'rdev-leftovers-'))
  const directory = join(folder, 'home')
  mkdirSync(directory)
  mkdirSync(join(folder, 'bin'))
  symlinkSync(`/bin/${shell}`, join(folder, 'bin/sh'))
  const once = `if [ "$1" = setsid ]; then : >"$HOME/../warming"; ${instead || ':'}; fi`
  writeFileSync(join(folder, 'bin/setsid'), `#!/bin/sh\n${once}\nPATH=\${PATH#*:} exec setsid "$@"\n`, { mode: 0o755 })
  const host = createLocalHost({ pods: [localPod(directory)], path: `${join(folder, 'bin')}:${systemPath}` })
  onTestFinished(async () => {
    await host.close()
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  })
  return { ...attemptOf({ pod: 'pod' }, host), host, directory, warming: () => existsSync(join(folder, 'warming')) }
}

/** Command lines of the processes whose HOME this is. */
const residents = (home: string): readonly string[] =>
  readdirSync('/proc').flatMap((pid) => {
    try {
      if (!/^\d+$/.test(pid) || !readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`HOME=${home}`)) return []
      return [readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll(/[\0\n]/g, ' ')]
    } catch {
      return []
    }
  })
const expectNobody = (home: string) => expect.poll(() => residents(home), { timeout: 20_000, interval: 100 }).toEqual([])

test.each(shells)('%s: an agent that is closed while a supervisor warms up, in a home that is removed, leaves nothing', async (shell) => {
  const { directories, host, directory, warming } = setup(shell, 'rm -rf "$HOME/.rdev"')
  void directories.list('pod').catch(() => {})
  await expect.poll(warming, { timeout: 20_000 }).toBe(true)
  await pause(100)
  await directories.close()
  await host.close()
  await expectNobody(directory)
})

test.each(shells)('%s: an agent that is gone before the main process opens its orders leaves nothing', async (shell) => {
  const { directories, host, directory, warming } = setup(shell, 'sleep 1')
  void directories.list('pod').catch(() => {})
  await expect.poll(warming, { timeout: 20_000 }).toBe(true)
  // As SIGKILL would have it: the shell that warms is gone, and what it started goes on.
  killShells(directory)
  await directories.close()
  await host.close()
  await expectNobody(directory)
})

test.each(shells)('%s: a home that is removed while a supervisor waits warm holds nobody', async (shell) => {
  const { directories, host, directory } = setup(shell)
  await directories.list('pod')
  await expect.poll(() => residents(directory).some((command) => command.includes(' main ')), { timeout: 20_000 }).toBe(true)
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
  await directories.close()
  await host.close()
  await expectNobody(directory)
})

test.each(shells)('%s: an attempt whose home is removed ends, also without an agent', async (shell) => {
  const { directories, host, directory, start } = setup(shell)
  expect(await start(`setsid sleep 600 & while :; do sleep 1; done`)).toEqual({ outcome: 'started' })
  await directories.close()
  await host.close()
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
  await expectNobody(directory)
})

test('an agent that is killed leaves its attempts, and nothing when their home is removed', async () => {
  const { directory, attempt } = setup('dash')
  const agent = fork(join(import.meta.dirname, '../fixtures/local-agent.ts'), [directory, attempt], { execPath: process.execPath })
  expect((await once(agent, 'message'))[0]).toEqual({ outcome: 'started' })
  const gone = once(agent, 'exit')
  agent.kill('SIGKILL')
  await gone
  await expect.poll(() => residents(directory).some((command) => command.startsWith('sleep 600')), { timeout: 20_000 }).toBe(true)
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
  await expectNobody(directory)
})

/** The shells that the agent opened there, by their command line. */
function killShells(home: string): void {
  for (const pid of readdirSync('/proc')) {
    try {
      if (!/^\d+$/.test(pid) || !readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`HOME=${home}`)) continue
      if (readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('sh\0-c\0')) process.kill(Number(pid), 'SIGKILL')
    } catch {
      // Gone in the meantime.
    }
  }
}
