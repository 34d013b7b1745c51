// A pod whose disk fills up, for one shell at a time: local homes of four megabytes.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { attemptOf, collect } from '../contract/judge.ts'
import { createLocalHost } from './host.ts'

const pod = { name: 'pod', role: 'worker', project_id: null, slots: 4, env: {}, allow_bypass_permissions: false, providers: [] } as const
const fills = 'head -c 20000000 /dev/zero'

function newHome(): string {
  const home = mkdtempSync(join(tmpdir(), 'rdev-full-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', home], { stdio: 'pipe' })
    return home
  } catch (cause) {
    rmSync(home, { recursive: true })
    throw new Error('this suite needs the right to mount', { cause })
  }
}

export function fullDiskContract(shell: string, path: string): void {
  describe(`a full disk: local, ${shell}`, () => {
    async function setup() {
      const home = newHome()
      const host = createLocalHost({ pods: [{ ...pod, directory: home }], path })
      onTestFinished(async () => {
        await host.close()
        execFileSync('umount', ['-l', home])
        rmSync(home, { recursive: true, force: true })
      })
      const it = attemptOf({ pod: 'pod' }, host)
      // The library and a spare are there before the disk is full, as in a pod that has run attempts before.
      await it.sh('true')
      return { ...it, home }
    }

    test('what fitted is delivered to the byte; the record says how the process ended, and that the disk was full', async () => {
      const { start, follow, ended } = await setup()
      await start(`${fills} || exit 5`)
      const { stdout } = await collect(follow())
      expect(stdout.length).toBeGreaterThan(3_000_000)
      expect(await ended()).toMatchObject({ exit_code: 5, reason: 'exited', stdout_bytes: stdout.length, disk_full: true })
    })

    test('one that runs on is cancelled, and its record says so', async () => {
      const { start, follow, ended, directories, pod, attempt, tree, home } = await setup()
      await start(`${fills}; sleep 600`)
      let stopped: Promise<void> | undefined
      await collect(follow(), undefined, async (length) => {
        if (length < 3_500_000 || stopped) return
        expect(() => writeFileSync(`${home}/more`, Buffer.alloc(1_000_000))).toThrow('ENOSPC')
        stopped = directories.stop(pod, attempt, 2, 'cancelled')
      })
      await stopped
      expect(await ended()).toMatchObject({ reason: 'cancelled', disk_full: true })
      // A question needs a little room on the disk.
      rmSync(`${home}/more`)
      await directories.remove(pod, attempt)
      expect(await tree()).toEqual([])
    })

    test('one that runs on is ended at its time limit, and its record says so', async () => {
      const { start, ended } = await setup()
      await start(`${fills}; sleep 600`, { timeout_s: 2 })
      expect(await ended()).toMatchObject({ reason: 'timeout', disk_full: true })
    })

    test('what cannot begin is told, and begins when there is room again', async () => {
      const { start, ended, home } = await setup()
      expect(() => writeFileSync(`${home}/filler`, Buffer.alloc(20_000_000))).toThrow('ENOSPC')
      expect(await start('exit 3')).toMatchObject({ outcome: 'failed' })
      rmSync(`${home}/filler`)
      expect(await start('exit 3')).toEqual({ outcome: 'started' })
      expect(await ended()).toMatchObject({ exit_code: 3 })
    })
  })
}
