// Scenarios 27, 28, 29, 30 (docs/faults.md). Exec streams that end wrongly, lose output, are cut and freeze, by a relay before a real API server:
// no stream decides anything, and every byte of every run arrives once.

import { afterAll, beforeAll, expect } from 'vitest'
import { scenario } from '../table.ts'
import { counted, counting, setup } from './setup.ts'
import type { Scene } from './setup.ts'

let scene: Scene
beforeAll(async () => {
  scene = await setup('rdev-chaos-exec', { liar: {}, loser: {}, quiet: {}, frozen: {}, vanished: {} })
}, 300_000)
afterAll(async () => await scene?.[Symbol.asyncDispose]())

const succeeded = { status: 'succeeded', attempt: 1, exit_code: 0 }

scenario(
  27,
  'every exec says Success with no exit code while the process runs: it is not believed, the record decides',
  'an end is an exit record and nothing else',
  async () => {
    const id = await scene.start('liar', `${counting(60)}; note over; exit 7`)
    for (const line of ['line 5\n', 'line 20\n', 'line 40\n']) {
      await scene.printed(id, line)
      // All open execs, of the control shell, the spare and the follower, end with Success.
      expect(scene.relay.succeed('liar')).toBeGreaterThanOrEqual(2)
      expect(scene.notes(id)).not.toContain('1 over')
      expect(await scene.status(id)).toBe('running')
    }
    const { task, stdout } = await scene.end(id)
    expect(task).toMatchObject({ status: 'failed', attempt: 1, exit_code: 7 })
    expect(stdout).toBe(counted(60))
    expect(scene.notes(id)).toEqual(['1 started', '1 over'])
  },
  { concurrent: true },
)

scenario(
  28,
  'output lost on its way at the end of an exec is fetched again: the log has what the file has',
  'the record says how many bytes there are',
  async () => {
    const id = await scene.start('loser', `${counting(10)}; note half; ${counting(30)}`)
    await scene.noted(id, 'half')
    expect(scene.relay.swallow('loser')).toBeGreaterThanOrEqual(2)
    await scene.printed(id, 'line 10\n')
    const { task, stdout } = await scene.end(id)
    expect(task).toMatchObject(succeeded)
    expect(stdout).toBe(counted(10) + counted(30))
  },
  { concurrent: true },
)

scenario(
  29,
  'execs that are cut after each silent stretch (3 s stand for 5 min) are opened again, and nothing is read twice',
  'followers are opened again at the byte that was reached',
  async () => {
    scene.relay.limitSilence('quiet', 3_000)
    const id = await scene.start('quiet', `echo one; sleep 8; echo two; sleep 8; echo three`)
    const { task, stdout } = await scene.end(id)
    scene.relay.limitSilence('quiet', undefined)
    expect(task).toMatchObject(succeeded)
    expect(stdout).toBe('one\ntwo\nthree\n')
    expect(scene.relay.cuts.quiet).toBeGreaterThanOrEqual(4)
  },
  { concurrent: true },
)

scenario(
  30,
  'execs that freeze without a close are found out and opened again',
  'pings; a question that waits asks for a sign of life',
  async () => {
    const id = await scene.start('frozen', `${counting(20)}; note half; ${counting(20)}`)
    await scene.printed(id, 'line 5\n')
    expect(scene.relay.freeze('frozen')).toBeGreaterThanOrEqual(2)
    await scene.noted(id, 'half')
    const { task, stdout } = await scene.end(id)
    expect(task).toMatchObject(succeeded)
    expect(stdout).toBe(counted(20) + counted(20))
  },
  { concurrent: true },
)

scenario(
  30,
  'execs frozen because their pod was deleted: the pod is proven gone, so the task is lost, and says so at once',
  'the inventory proves that a pod is gone',
  async () => {
    const id = await scene.start('vanished', 'echo up; sleep 1000')
    await scene.printed(id, 'up\n')
    expect(scene.relay.freeze('vanished')).toBeGreaterThanOrEqual(2)
    await scene.pods.delete('vanished')
    const { task, stdout } = await scene.end(id)
    expect(task).toMatchObject({ status: 'lost', error_code: 'LOST', attempt: 1, exit_code: null })
    expect(stdout).toBe('up\n')
  },
  { concurrent: true },
)
