import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { newId } from '@rdev/shared/domain/ids'
import type { Pod } from '@rdev/shared/domain/pod'
import { createAttemptDirectories } from '../attempt-directories.ts'
import { localContract, localPod, systemPath } from './contract.ts'
import { createLocalHost, type LocalPod } from './host.ts'

const never = new AbortController().signal

localContract('dash')

describe('local pods', () => {
  function setup(more: Partial<LocalPod> = {}) {
    const folder = mkdtempSync(join(tmpdir(), 'rdev-local-'))
    const directory = join(folder, 'home')
    mkdirSync(directory)
    const host = createLocalHost({ pods: [localPod(directory, more)], path: systemPath })
    const directories = createAttemptDirectories(host, () => {})
    onTestFinished(async () => {
      await directories.close()
      await host.close()
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    })
    return { folder, directory, host, directories, attempt: `${newId('task', 1, crypto.getRandomValues(new Uint8Array(10)))}.1` }
  }

  test('a pod is ready while its directory exists, and is another pod when the directory was made again', async () => {
    const { host, directory } = setup()
    const seen: Pod[] = []
    let next: (pod: Pod) => void = () => {}
    const change = (): Promise<Pod> => new Promise((resolve) => (next = resolve))
    const first = change()
    host.watch(([pod]) => {
      seen.push(pod!)
      next(pod!)
    })
    expect(await first).toMatchObject({ name: 'pod', role: 'worker', slots: 4, ready: true })
    const gone = change()
    renameSync(directory, `${directory}.old`)
    expect(await gone).toMatchObject({ ready: false })
    const back = change()
    mkdirSync(directory)
    expect(await back).toMatchObject({ ready: true })
    expect(seen[2]!.uid).not.toBe(seen[0]!.uid)
  })

  test('the processes of a pod see their own environment and nothing of this program', async () => {
    const { directories, directory } = setup({ env: { MODEL: 'm' } })
    process.env.RDEV_TEST_SECRET = 'x'
    onTestFinished(() => void delete process.env.RDEV_TEST_SECRET)
    const { stdout } = await directories.run('pod', 'env', 10_000)
    expect(stdout).toContain('MODEL=m\n')
    expect(stdout).toContain(`HOME=${directory}\n`)
    expect(stdout).not.toContain('RDEV_TEST_SECRET')
  })

  test('an unknown pod has no shell and no ports', async () => {
    const { host } = setup()
    await expect(host.shell('other')).rejects.toThrow('no local pod')
    await expect(host.connect('other', 1)).rejects.toThrow('no local pod')
  })

  test(
    'a process that ends at once has a whole record, however the end of its start and its own end fall together',
    { timeout: 200_000 },
    async () => {
      const { directories } = setup()
      const one = async () => {
        const name = `${newId('task', 1, crypto.getRandomValues(new Uint8Array(10)))}.1`
        await directories.start('pod', name, { script: 'exec true', stdin: '', timeout_s: 60 })
        expect(await directories.ended('pod', name, never)).toMatchObject({ exit_code: 0, reason: 'exited' })
      }
      for (let round = 0; round < 40; round++) await Promise.all(Array.from({ length: 6 }, one))
    },
  )

  test('an attempt is ended after the orphan TTL', async () => {
    const { directories, attempt } = setup({ env: { RDEV_ORPHAN_TTL_S: '1' } })
    await directories.start('pod', attempt, { script: 'exec sleep 600', stdin: '', timeout_s: 600 })
    expect(await directories.ended('pod', attempt, never)).toMatchObject({ reason: 'orphaned' })
  })

  test('a follower whose agent vanished ends with the directory; another process with its id is left alone', async () => {
    const { directory, directories, attempt } = setup()
    const attemptDirectory = join(directory, '.rdev/attempts', attempt)
    const record = join(attemptDirectory, 'followers')
    await directories.start('pod', attempt, { script: 'exec sleep 600', stdin: '', timeout_s: 600 })
    await expect.poll(() => existsSync(record) && readFileSync(record, 'utf8'), { timeout: 20_000 }).toMatch(/^\d+\n\d+\n$/)
    // When a node's programs die, the tails stay without the shell that would end them.
    const left = spawn('tail', ['-f', join(attemptDirectory, 'stdout')], { stdio: 'ignore' })
    const other = spawn('sleep', ['600'], { stdio: 'ignore' })
    const gone = once(left, 'exit')
    appendFileSync(record, `${left.pid}\n${other.pid}\n`)
    await directories.stop('pod', attempt, 0, 'stopped')
    await directories.remove('pod', attempt)
    expect(await gone).toEqual([null, 'SIGTERM'])
    expect(other.exitCode ?? other.signalCode).toBeNull()
    other.kill()
  })

  test('when this program dies, attempts go on and its shells end', async () => {
    const { directory, directories, attempt } = setup()
    const agent = fork(join(import.meta.dirname, '../fixtures/local-agent.ts'), [directory, attempt], { execPath: process.execPath })
    const started = await new Promise<unknown>((resolve) => agent.once('message', resolve))
    expect(started).toEqual({ outcome: 'started' })
    const gone = new Promise((resolve) => agent.once('exit', resolve))
    agent.kill('SIGKILL')
    await gone
    expect((await directories.list('pod')).attempts).toMatchObject([{ state: 'running' }])
    const shells = `grep -lzxF 'HOME=${directory}' /proc/[0-9]*/environ | wc -l`
    // The attempt, its supervisor and guard with its sleep; this agent's control shell, spare shell, spare supervisor with its guard and main
    // process; the agent that counts, with its own.
    let last = ''
    for (let settled = 0; settled < 3;) {
      const count = (await directories.run('pod', shells, 10_000)).stdout
      settled = count === last ? settled + 1 : 0
      last = count
    }
    expect(Number(last)).toBeLessThanOrEqual(14)
    await directories.stop('pod', attempt, 0, 'stopped')
    expect(await directories.ended('pod', attempt, never)).toMatchObject({ exit_code: 137, reason: 'stopped' })
  })
})
