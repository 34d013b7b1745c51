// Scenarios 27, 31, 32, 41, and 9 without an agent (docs/faults.md). The node's own programs die: what runs goes on, nothing is concluded from
// silence, and an end is known from its exit record. They run one after the other, since there is one node.

import { readFile } from 'node:fs/promises'
import { PassThrough } from 'node:stream'
import { afterAll, afterEach, beforeAll, expect } from 'vitest'
import { CoreV1Api, Exec, KubeConfig } from '@kubernetes/client-node'
import { requireScript, rebootNode, startComponent, stopComponent } from '../../cluster/faults.ts'
import { scenario } from '../table.ts'
import { counted, counting, setup } from './setup.ts'
import type { Scene } from './setup.ts'

const namespace = 'rdev-chaos-node'
let scene: Scene
beforeAll(async () => {
  requireScript()
  scene = await setup(namespace, { ends: {}, lasts: {}, loud: {}, twin: { home: 'claim' } })
}, 300_000)
afterAll(async () => await scene?.[Symbol.asyncDispose]())

afterEach(async () => {
  // Repair the node, also after a failure, for the next scenario.
  await startComponent('containerd')
  await startComponent('kubelet')
  await expect.poll(nodeReady, { timeout: 60_000 }).toBe('True')
})

const admin = new KubeConfig()
admin.loadFromDefault()

const nodeReady = async (): Promise<string | undefined> => {
  const { items } = await admin.makeApiClient(CoreV1Api).listNode()
  return items[0]?.status?.conditions?.find(({ type }) => type === 'Ready')?.status
}

/** What a plain exec reports about a process that goes on, when the fault comes. */
async function plainExec(pod: string): Promise<{ readonly told: Promise<string | undefined> }> {
  const stdout = new PassThrough()
  const { promise: told, resolve } = Promise.withResolvers<string | undefined>()
  await new Exec(admin).exec(namespace, pod, 'box', ['sh', '-c', 'echo up; sleep 1000'], stdout, null, null, false, ({ status }) =>
    resolve(status),
  )
  await new Promise((ready) => stdout.once('data', ready))
  return { told }
}

/** One task ends while the node cannot be reached, another goes on. */
async function twoTasks() {
  const ending = await scene.start('ends', `echo up; note wait; ${counting(20, 0.01)}; note over; exit 5`)
  const lasting = await scene.start('lasts', `echo up; note wait; echo again; exit 0`)
  for (const id of [ending, lasting]) {
    await scene.noted(id, 'wait')
    await scene.printed(id, 'up\n')
  }
  return {
    async endOne() {
      scene.release(ending)
      await scene.noted(ending, 'over')
    },
    async bothRun() {
      expect([await scene.status(ending), await scene.status(lasting)]).toEqual(['running', 'running'])
    },
    async judge() {
      expect(await scene.end(ending)).toMatchObject({ task: { status: 'failed', attempt: 1, exit_code: 5 }, stdout: `up\n${counted(20)}` })
      scene.release(lasting)
      expect(await scene.end(lasting)).toMatchObject({ task: { status: 'succeeded', attempt: 1, exit_code: 0 }, stdout: 'up\nagain\n' })
      expect([scene.notes(ending), scene.notes(lasting)]).toEqual([
        ['1 started', '1 wait', '1 over'],
        ['1 started', '1 wait'],
      ])
    },
  }
}

scenario(
  [27, 32],
  'the kubelet is killed until its node is NotReady: exec says Success of a process that runs, and nothing is concluded from it',
  'silence and exec prove nothing',
  async () => {
    const tasks = await twoTasks()
    const plain = await plainExec('lasts')
    await stopComponent('kubelet')
    expect(await plain.told).toBe('Success')
    await tasks.endOne()
    await expect.poll(nodeReady, { timeout: 90_000 }).toBe('Unknown')
    await tasks.bothRun()
    await startComponent('kubelet')
    await tasks.judge()
  },
)

scenario(27, 'containerd is killed and comes back: the same', 'an end is an exit record and nothing else', async () => {
  const tasks = await twoTasks()
  await stopComponent('containerd')
  await tasks.endOne()
  await tasks.bothRun()
  await startComponent('containerd')
  await tasks.judge()
})

scenario(
  9,
  'a pod replaced under its name, with its old disk, while no agent is there: lost, not adopted',
  'the life of a container in the attempt directory',
  async () => {
    const id = await scene.start('twin', 'echo up; sleep 1000')
    await scene.printed(id, 'up\n')
    await scene.stack.agent.kill('SIGKILL')
    await scene.pods.delete('twin')
    await scene.pods.create('twin')
    await scene.stack.startAgent()
    expect(await scene.end(id)).toMatchObject({ task: { status: 'lost', error_code: 'LOST', attempt: 1, exit_code: null }, stdout: 'up\n' })
  },
)

scenario(
  41,
  '50 MB of output a second for 4 s, by exec: the agent takes at most 100 MB more than idle, and not a byte is lost',
  'window of unacknowledged bytes; an agent that may not send does not read',
  async () => {
    const residentMb = async (): Promise<number> => {
      const status = await readFile(`/proc/${scene.stack.agent.pid}/status`, 'utf8')
      return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024
    }
    const idle = await residentMb()
    let most = 0
    const keepMost = (mb: number): void => void (most = Math.max(most, mb))
    const sampling = setInterval(() => void residentMb().then(keepMost, () => {}), 50)
    const began = performance.now()
    const id = await scene.start(
      'loud',
      `node -e '
      const block = Buffer.alloc(1e6, "x".repeat(99) + "\\n"), began = Date.now()
      let blocks = 0
      const write = () => {
        for (; blocks < 200 && blocks * 1e6 < (Date.now() - began) * 50e3; blocks++) fs.writeSync(1, block)
        if (blocks < 200) setTimeout(write, 5)
      }
      write()'; note written`,
    )
    await scene.noted(id, 'written')
    const writtenMs = performance.now() - began
    const { task, stdout } = await scene.end(id)
    clearInterval(sampling)
    console.log(
      `41: written in ${Math.round(writtenMs)} ms, read in ${Math.round(performance.now() - began)} ms, RSS ${Math.round(idle)} → ${Math.round(most)} MB`,
    )
    expect(task).toMatchObject({ status: 'succeeded', attempt: 1 })
    expect(stdout.length).toBe(200e6)
    expect(stdout === ('x'.repeat(99) + '\n').repeat(2e6)).toBe(true)
    expect(most - idle).toBeLessThanOrEqual(100)
  },
)

scenario(
  31,
  'the node reboots: what ran is lost with its containers, with the output that their volumes kept, and runs again only by policy',
  'the life of a container in the attempt directory',
  async () => {
    const command = `note try; [ -e again ] || { touch again; ${counting(10, 0.02)}; note counted; sleep 1000; }; echo done`
    const plain = await scene.start('ends', command)
    const stubborn = await scene.start('lasts', command, { retry: { max_attempts: 2, on: ['lost'] } })
    for (const id of [plain, stubborn]) await scene.noted(id, 'counted')
    await rebootNode()
    expect(await scene.end(plain)).toMatchObject({
      task: { status: 'lost', error_code: 'LOST', attempt: 1, exit_code: null },
      stdout: counted(10),
    })
    expect(await scene.end(stubborn)).toMatchObject({ task: { status: 'succeeded', attempt: 2 }, stdout: `${counted(10)}done\n` })
    expect(scene.notes(plain)).toEqual(['1 started', '1 try', '1 counted'])
    expect(scene.notes(stubborn)).toEqual(['1 started', '1 try', '1 counted', '2 started', '2 try'])
  },
)
