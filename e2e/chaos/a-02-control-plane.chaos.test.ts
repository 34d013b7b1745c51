// Frames are lost, repeated and cut in two; the control plane dies between any two of them.
import { afterAll, beforeAll, beforeEach, expect } from 'vitest'
import { databaseProxy, statements } from './database-proxy.ts'
import type { DatabaseProxy } from './database-proxy.ts'
import { hubPath, linePath } from './proxy.ts'
import type { Fate, Frame } from './proxy.ts'
import { eventually, setup, teardown } from './setup.ts'
import type { Chaos } from './setup.ts'
import { scenario } from './table.ts'

let chaos: Chaos
let database: DatabaseProxy
beforeAll(async () => {
  database = await databaseProxy()
  chaos = await setup({ databaseVia: database.via })
})
afterAll(async () => {
  await teardown(chaos)
  await database[Symbol.asyncDispose]()
})
// A new agent dials at once; one with many losses within a minute waits longer each time.
beforeEach(() => chaos.restartAgent())

const derived = 'hello and welcome: what should run is derived again for every connection'
const stored = 'events and cursor are stored in one write, before the acknowledgement'

const is =
  (type: string, more: (frame: Frame) => boolean = () => true) =>
  (frame: Frame) =>
    frame.type === type && more(frame)
const isLast = ({ text }: Frame) => text.includes('"result":true')

const hello = is('hello')
const welcome = is('welcome')

/** Runs a task while the rule applies. Its end must be as without it. */
async function runsThrough(match: (frame: Frame) => boolean, fate: Fate, times = 1): Promise<void> {
  const rule = chaos.agentProxy.on(match, fate, times)
  const { id } = await chaos.script(chaos.ledger.scripts.counting(10, 0.05))
  chaos.follow(id)
  // These frames come only at the beginning of a connection.
  if (match === hello || match === welcome) chaos.agentProxy.cut({ path: hubPath })
  const { tasks } = await chaos.verdict()
  expect(tasks[0]).toMatchObject({ status: 'succeeded', attempt: 1 })
  await eventually(() => rule.count === times, 'the frame came')
  rule.release()
}

scenario(5, 'an assignment is lost with its connection: it comes again, the same attempt', derived, () => runsThrough(is('assign'), 0))

scenario(5, 'an assignment comes twice: it starts once', 'a name has one run in the agent; the start guard', () =>
  runsThrough(is('assign'), 'twice'),
)

scenario(
  12,
  'connections are reset inside of frames of every kind, 30 times: the log is whole',
  'what is not acknowledged is sent again, counted from what the log holds',
  async () => {
    const kinds = [is('events'), is('ack'), is('resume'), hello, welcome, is('accepted'), is('assign'), is('result'), is('finished')]
    for (const [index, kind] of kinds.entries()) {
      await runsThrough(kind, 1 + ((index * 7) % 20))
      await chaos.restartAgent()
    }

    // Each line is cut four times: one that is cut repeatedly within a minute waits longer each time.
    const cutFourTimes = async () => {
      const { id } = await chaos.script(chaos.ledger.scripts.chatter(30, 0.1))
      const reader = chaos.follow(id)
      for (let cuts = 0; cuts < 4; cuts++) {
        const inside = ({ path, text }: Frame) => path.includes(id) && text.length > 40
        const rule = chaos.agentProxy.on(inside, 1 + Math.floor(Math.random() * 40))
        await Promise.race([rule.caught, reader.done])
        rule.release()
      }
      await reader.done
    }
    await Promise.all([1, 2, 3, 4, 5, 6].map(cutFourTimes))
    await chaos.verdict()
  },
)

scenario(
  12,
  'the network between agent and control plane delays, drips, and refuses connections for a while: the log is whole',
  'what is not acknowledged is sent again, counted from what the log holds',
  async () => {
    const tasks = await Promise.all([1, 2, 3].map(() => chaos.script(chaos.ledger.scripts.chatter(8, 0.2))))
    const readers = tasks.map(({ id }) => chaos.follow(id))
    await readers[0]!.until((event) => event.type === 'output')
    chaos.agentProxy.delay(20, 100)
    chaos.agentProxy.slow(200_000)
    await readers[1]!.until((event) => String(event.data.text).includes('burst 3 '))
    chaos.agentProxy.refuse()
    chaos.agentProxy.cut({ how: 'end' })
    const before = chaos.agentProxy.counters.connections
    await eventually(() => chaos.agentProxy.counters.connections > before + 4, 'the agent tries again and again')
    chaos.agentProxy.accept()
    chaos.agentProxy.delay(0)
    chaos.agentProxy.slow(undefined)
    await chaos.verdict()
  },
)

scenario(
  13,
  'acknowledgements are lost, the last one too, and the connection with them: nothing is stored twice',
  'what comes again is recognised by its number',
  async () => {
    const lost = chaos.agentProxy.on(is('ack'), 'drop', 1_000)
    const { id } = await chaos.script(chaos.ledger.scripts.counting(60, 0.05))
    const reader = chaos.follow(id)
    for (const line of ['line 10 ', 'line 30 ', 'line 50 ']) {
      await reader.until((event) => String(event.data.text).includes(line))
      chaos.agentProxy.cut({ path: linePath })
    }
    // If the task does not end, the verdict says what is missing.
    await Promise.race([reader.done, new Promise((resolve) => setTimeout(resolve, 60_000))])
    expect(lost.count).toBeGreaterThan(3)
    chaos.agentProxy.cut({ path: linePath })
    lost.release()
    await chaos.verdict()
    await runsThrough(is('ack', isLast), 0)
  },
)

scenario(
  15,
  'workerd is killed between any two frames of a life, each kind of frame held back once: nothing is lost, nothing twice',
  stored,
  async () => {
    const points: ((frame: Frame) => boolean)[] = [
      is('assign'),
      is('accepted'),
      is('resume'),
      is('events', ({ text }) => text.includes('task.started')),
      is('ack'),
      is('events', ({ text }) => text.includes('line 3 ')),
      is('ack', ({ number }) => number > 6),
      is('result'),
      is('finished'),
    ]
    for (const point of points) {
      const held = chaos.agentProxy.on(point, 'hold')
      const { id } = await chaos.script(chaos.ledger.scripts.counting(6, 0.1))
      await held.caught
      await chaos.restartControlPlane()
      held.release('drop')
      chaos.follow(id)
      const { tasks } = await chaos.verdict()
      expect(tasks[0]).toMatchObject({ status: 'succeeded', attempt: 1 })
      await chaos.restartAgent()
    }
  },
  { timeoutMs: 400_000 },
)

scenario(
  17,
  'workerd is killed when the result is written, its acknowledgement on the way and the row not yet told: the task ends once',
  'a result is held durably and told to its row until the row has it',
  async () => {
    const held = chaos.agentProxy.on(is('ack', isLast), 'hold')
    const untold = database.lose('request', statements.finish)
    const { id } = await chaos.script(chaos.ledger.scripts.counting(5, 0.05))
    await Promise.all([held.caught, untold.happened])
    await chaos.restartControlPlane()
    held.release('drop')
    chaos.follow(id)
    const { tasks } = await chaos.verdict()
    expect(tasks[0]).toMatchObject({ status: 'succeeded', attempt: 1 })
  },
)

scenario(
  26,
  'the hub dies after its claim, before the agent gets the assignment: the attempt starts, with the same number',
  'rows are the truth: the hub reads what it had claimed',
  async () => {
    const held = chaos.agentProxy.on(is('assign'), 'hold')
    const ids = await Promise.all([1, 2, 3].map(() => chaos.script(chaos.ledger.scripts.counting(5, 0.05))))
    await held.caught
    await chaos.restartControlPlane()
    held.release('drop')
    for (const { id } of ids) chaos.follow(id)
    const { tasks } = await chaos.verdict()
    for (const task of tasks) expect(task).toMatchObject({ status: 'succeeded', attempt: 1 })
  },
)

scenario(
  16,
  'the control plane is deployed anew while eight tasks run and are read: every socket is cut, every reader gets the whole log',
  'agents reconnect for ever; readers resume by Last-Event-ID',
  async () => {
    const tasks = await Promise.all(Array.from({ length: 8 }, () => chaos.script(chaos.ledger.scripts.counting(60, 0.1))))
    const readers = tasks.flatMap(({ id }) => [chaos.follow(id, chaos.proxied), chaos.follow(id, chaos.proxied)])
    await Promise.all(readers.map((reader) => reader.until((event) => String(event.data.text).includes('line 5 '))))
    await chaos.controlPlane.stop()
    await chaos.startControlPlane()
    const verdict = await chaos.verdict()
    for (const task of verdict.tasks) expect(task).toMatchObject({ status: 'succeeded', attempt: 1 })
  },
)
