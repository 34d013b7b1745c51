// Scenarios 9, 31, 33, 34, 35 (docs/faults.md). Faults of a pod, its container, its processes and its disk while a task runs in it. An attempt whose
// pod is proven gone is `lost`; in all other cases the exit record decides.

import { afterAll, beforeAll, expect } from 'vitest'
import { killContainer } from '../../cluster/faults.ts'
import { eventually } from '../setup.ts'
import { scenario } from '../table.ts'
import { counted, counting, setup } from './setup.ts'
import type { Scene } from './setup.ts'

let scene: Scene
beforeAll(async () => {
  scene = await setup('rdev-chaos-pods', {
    eater: { memory: '128Mi' },
    restarted: {},
    drained: {},
    expired: {},
    twin: { home: 'claim' },
    orphaned: {},
    full: { home: { medium: 'Memory', sizeLimit: '8Mi' } },
    daemons: {},
  })
}, 300_000)
afterAll(async () => await scene?.[Symbol.asyncDispose]())

const left = async (pod: string, id: string, attempt = 1) => await scene.pods.processesWith(pod, `RDEV_ATTEMPT=${id}.${attempt}`)
const lost = { status: 'lost', error_code: 'LOST', attempt: 1, exit_code: null }

scenario(
  31,
  'a process that the kernel kills for its memory has failed with 137, and its shell may say so first',
  'exit code in the record',
  async () => {
    const id = await scene.start(
      'eater',
      `echo hungry; node -e 'for (const eaten = []; ; ) eaten.push(Buffer.alloc(1e7, 1))'; code=$?; note "killed $code"; exit $code`,
    )
    const { task, stdout } = await scene.end(id)
    expect(task).toMatchObject({ status: 'failed', attempt: 1, exit_code: 137 })
    expect(stdout).toBe('hungry\n')
    expect(scene.notes(id)).toEqual(['1 started', '1 killed 137'])
  },
  { concurrent: true },
)

scenario(
  31,
  'a container that is killed as a whole takes its attempts with it: lost, with the output that its volume kept',
  'the life of a container in the attempt directory',
  async () => {
    const { pods } = scene
    const id = await scene.start('restarted', `${counting(10, 0.02)}; note counted; sleep 1000`)
    await scene.noted(id, 'counted')
    const uid = await pods.uid('restarted')
    await killContainer(uid)
    const { task, stdout } = await scene.end(id)
    expect(await pods.uid('restarted')).toBe(uid)
    expect(task).toMatchObject({ ...lost, exit_code: null })
    expect(stdout).toBe(counted(10))
    const next = await scene.start('restarted', 'echo again')
    expect(await scene.end(next)).toMatchObject({ task: { status: 'succeeded' }, stdout: 'again\n' })
  },
  { concurrent: true },
)

scenario(
  31,
  'a pod that is evicted by a drain is gone: lost',
  'the inventory proves that a pod is gone',
  async () => {
    const id = await scene.start('drained', 'echo up; sleep 1000')
    await scene.printed(id, 'up\n')
    await scene.pods.evict('drained')
    expect(await scene.end(id)).toMatchObject({ task: lost, stdout: 'up\n' })
  },
  { concurrent: true },
)

// By a deadline, since a kubelet checks the disk of its pods only every one to two minutes. The object looks the same: Failed, terminated, still there.
scenario(
  31,
  'a pod that its kubelet ended stays as an object: its task is lost all the same',
  'a pod whose containers have terminated is gone',
  async () => {
    const id = await scene.start('expired', 'echo up; sleep 1000')
    await scene.printed(id, 'up\n')
    await scene.pods.expire('expired')
    expect(await scene.end(id)).toMatchObject({ task: lost, stdout: 'up\n' })
    expect(await scene.pods.phase('expired')).toBe('Failed DeadlineExceeded')
  },
  { concurrent: true },
)

scenario(
  9,
  'a pod that comes back under its name with its old disk is another: lost, not adopted; the next task finds the disk',
  'uid of a pod, life of a container',
  async () => {
    const { pods } = scene
    const id = await scene.start('twin', 'echo kept >file; echo up; sleep 1000')
    await scene.printed(id, 'up\n')
    const uid = await pods.uid('twin')
    await pods.delete('twin')
    await pods.create('twin')
    expect(await pods.uid('twin')).not.toBe(uid)
    expect(await scene.end(id)).toMatchObject({ task: lost, stdout: 'up\n' })
    const next = await scene.start('twin', 'cat file')
    expect(await scene.end(next)).toMatchObject({ task: { status: 'succeeded' }, stdout: 'kept\n' })
    // Its directory on the old disk was removed.
    await eventually(async () => (await pods.run('twin', 'ls ~/.rdev/attempts')).stdout === '', 'its directory is gone')
  },
  { concurrent: true },
)

scenario(
  33,
  'its supervisor killed, the whole tree is ended, and the task has failed with output that may be incomplete',
  'whoever finds a supervisor dead ends its tree',
  async () => {
    const { pods } = scene
    const id = await scene.start(
      'orphaned',
      `setsid sh -c 'bash -c "$NOTE" child; sleep 1000' & ${counting(10, 0.02)}; note counted; sleep 1000`,
    )
    await scene.noted(id, 'counted')
    expect((await left('orphaned', id)).length).toBeGreaterThanOrEqual(3)
    // Supervisor and guard are killed together, so neither sees the other die. Their text begins with their slot.
    expect(await pods.run('orphaned', 'exec pkill -KILL -f "^sh -c [#] [0-9a-f]{16}"')).toMatchObject({ exitCode: 0 })
    const { task, stdout } = await scene.end(id)
    expect(await left('orphaned', id)).toEqual([])
    expect(task).toMatchObject({ status: 'failed', error_code: 'LOST', exit_code: -1, error: expect.stringContaining('incomplete') })
    expect(stdout).toBe(counted(10))
  },
  { concurrent: true },
)

scenario(
  34,
  'on a full disk a process ends with its own exit code, and the log has what the disk took',
  'room for the record; a start that fails leaves nothing',
  async () => {
    const { pods } = scene
    const id = await scene.start(
      'full',
      `echo before; head -c 30000000 /dev/zero >big; ${counting(2000, 0)} 2>/dev/null; note over; exit 9`,
    )
    const { task, stdout } = await scene.end(id)
    expect(task).toMatchObject({ status: 'failed', attempt: 1, exit_code: 9 })
    expect(`before\n${counted(2000)}`.startsWith(stdout)).toBe(true)
    expect(stdout.startsWith('before\n')).toBe(true)
    expect(scene.notes(id)).toEqual(['1 started', '1 over'])

    // Nothing can start now. When there is room again it starts, once.
    await pods.run('full', 'cat /dev/zero >~/workspace/rest')
    const next = await scene.start('full', 'echo room')
    await eventually(async () => (await scene.events(next)).includes('task.requeued'), 'its start was refused')
    expect(scene.notes(next)).toEqual([])
    await pods.run('full', 'rm ~/workspace/big ~/workspace/rest')
    expect(await scene.end(next)).toMatchObject({ task: { status: 'succeeded' }, stdout: 'room\n' })
    expect(scene.notes(next).length).toBe(1)
  },
  { concurrent: true },
)

scenario(
  35,
  'children that became daemons with inherited descriptors hold up nothing, and none is left',
  'the tree is what carries the tag, in whatever session',
  async () => {
    const id = await scene.start(
      'daemons',
      `(setsid sh -c 'bash -c "$NOTE" daemon; while sleep 0.1; do echo tick; done' &); until [ -e go ]; do sleep 0.1; done; exit 3`,
    )
    await scene.noted(id, 'daemon')
    await scene.printed(id, 'tick\ntick\n')
    await scene.pods.run('daemons', 'touch ~/workspace/go')
    const { task, stdout } = await scene.end(id)
    expect(task).toMatchObject({ status: 'failed', exit_code: 3 })
    expect(stdout).toMatch(/^(tick\n)+$/)
    expect(await left('daemons', id)).toEqual([])
  },
  { concurrent: true },
)
