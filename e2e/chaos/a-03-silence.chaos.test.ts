// Nothing passes any more, and every socket looks open. The scenarios wait for the system's own limits: 25 s at the agent, 45 s at the hub (found by
// a sweep every 20 s), 30 s for a superseded agent, leases of 60 s. So they run at the same time, each on a stack of its own.
import { expect } from 'vitest'
import { processesWith } from '../setup.ts'
import { hubPath, linePath } from './proxy.ts'
import { eventually, setup, teardown } from './setup.ts'
import type { Chaos } from './setup.ts'
import { scenario } from './table.ts'

async function onItsOwn(body: (chaos: Chaos) => Promise<void>): Promise<void> {
  const chaos = await setup()
  try {
    await body(chaos)
  } finally {
    await teardown(chaos)
  }
}

const pause = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1_000))
const options = { timeoutMs: 400_000, concurrent: true }

async function hubSaysConnected(chaos: Chaos): Promise<boolean> {
  const { clusters } = await chaos.client.json<{ clusters: { connected: boolean }[] }>('GET', '/v1/workers')
  return clusters.some(({ connected }) => connected)
}

scenario(
  8,
  'two agents of one cluster for 40 s: they do not supersede each other in a loop, and nothing runs twice',
  'a superseded agent waits 30 s; the start guard',
  () =>
    onItsOwn(async (chaos) => {
      const hellos = chaos.agentProxy.on(({ type, path }) => type === 'hello' && hubPath.test(path), 'pass', 1_000)
      await chaos.secondAgent()
      for (const until = Date.now() + 40_000; Date.now() < until;) {
        const one = await chaos.script(chaos.ledger.scripts.counting(15, 0.1))
        const other = await chaos.script(chaos.ledger.scripts.quick())
        await Promise.all([chaos.follow(one.id).done, chaos.follow(other.id).done])
      }
      // The hello of the second agent, and of the first again after 30 s; each may be asked for another.
      expect(hellos.count).toBeLessThanOrEqual(6)
      const { tasks } = await chaos.verdict()
      for (const task of tasks) expect(task).toMatchObject({ status: 'succeeded', attempt: 1 })
    }),
  options,
)

scenario(
  10,
  'the connections of an agent are half open (25 s are enough, not 10 min): it gives them up, dials anew, and the log goes on',
  'two missed pongs end a socket',
  () =>
    onItsOwn(async (chaos) => {
      const { id } = await chaos.script(chaos.ledger.scripts.counting(60, 0.1))
      const reader = chaos.follow(id)
      await reader.until((event) => event.type === 'output')
      // For ever, like a NAT router that lost the entries.
      chaos.agentProxy.hold({ existing: true })
      await Promise.race([reader.done, pause(90).then(() => Promise.reject(new Error('the log did not go on within 90 s')))])
      const { tasks } = await chaos.verdict()
      expect(tasks[0]).toMatchObject({ status: 'succeeded', attempt: 1 })
    }),
  options,
)

scenario(
  10,
  'nothing passes between agent and hub for more than 65 s, no new connection either: the hub says so, the attempt ends by itself, all of it arrives',
  'the hub sweeps for sockets without a ping; a lost connection ends no attempt',
  () =>
    onItsOwn(async (chaos) => {
      const running = await chaos.script(chaos.ledger.scripts.counting(100, 0.1))
      const reader = chaos.follow(running.id)
      await reader.until((event) => event.type === 'output')
      const silence = chaos.agentProxy.hold()
      const waiting = await chaos.script(chaos.ledger.scripts.quick())
      await eventually(async () => !(await hubSaysConnected(chaos)), 'the hub takes the silent agent for gone', 90_000)
      const ended = await chaos.ledger.marks()
      expect(ended).toContainEqual(expect.objectContaining({ what: 'end', attempt: `${running.id}.1`, value: 0 }))
      expect(await chaos.client.json('GET', `/v1/tasks/${running.id}`)).toMatchObject({ status: 'running' })
      silence.release()
      await Promise.all([reader.done, chaos.follow(waiting.id).done])
      const { tasks } = await chaos.verdict()
      for (const task of tasks) expect(task).toMatchObject({ status: 'succeeded', attempt: 1 })
    }),
  options,
)

scenario(
  11,
  'each connection of an agent passes one way only: nothing arrives from the hub, nothing arrives at the log; both are dialled again',
  'two missed pongs end a socket',
  () =>
    onItsOwn(async (chaos) => {
      const { id } = await chaos.script(chaos.ledger.scripts.counting(60, 0.1))
      const reader = chaos.follow(id)
      await reader.until((event) => event.type === 'output')
      chaos.agentProxy.hold({ existing: true, direction: 'down', path: hubPath })
      chaos.agentProxy.hold({ existing: true, direction: 'up', path: linePath })
      const waiting = await chaos.script(chaos.ledger.scripts.quick())
      await Promise.all([reader.done, chaos.follow(waiting.id).done])
      const { tasks } = await chaos.verdict()
      for (const task of tasks) expect(task).toMatchObject({ status: 'succeeded', attempt: 1 })
    }),
  options,
)

scenario(
  15,
  'the objects of the hub and of a log are evicted while a task is silent, and woken by their next frames: nothing is lost, nothing twice',
  'state is in storage, in the sockets themselves, or asked for again',
  () =>
    onItsOwn(async (chaos) => {
      // Only a hub that woke without its memory sends sync.
      const woken = chaos.agentProxy.on(({ type, direction }) => type === 'sync' && direction === 'down', 'pass')
      const { id } = await chaos.script(chaos.ledger.scripts.body('say before; sleep 25; say after; sleep 25; say last'))
      chaos.follow(id)
      await woken.caught
      const { tasks } = await chaos.verdict()
      expect(tasks[0]).toMatchObject({ status: 'succeeded', attempt: 1 })
    }),
  options,
)

scenario(
  40,
  'the whole computer is suspended (agent, control plane, database, pods) for 50 s, longer than every limit of silence: all goes on where it was',
  'a connection that was silent is dialled anew; nothing else is concluded from time that passed',
  () =>
    onItsOwn(async (chaos) => {
      const tasks = await Promise.all([1, 2, 3].map(() => chaos.script(chaos.ledger.scripts.counting(80, 0.1))))
      const readers = tasks.map(({ id }) => chaos.follow(id))
      await Promise.all(readers.map((reader) => reader.until((event) => event.type === 'output')))
      const programs = [chaos.agent, chaos.controlPlane, chaos.database]
      const pods = await processesWith(`HOME=${chaos.dataDirectory}/pods/`)
      for (const program of programs) await program.kill('SIGSTOP')
      for (const pid of pods) signal(pid, 'SIGSTOP')
      await pause(50)
      for (const pid of pods) signal(pid, 'SIGCONT')
      for (const program of programs) await program.kill('SIGCONT')
      const verdict = await chaos.verdict()
      for (const task of verdict.tasks) expect(task).toMatchObject({ status: 'succeeded', attempt: 1 })
    }),
  options,
)

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // A program of a shell script, which has ended by now.
  }
}
