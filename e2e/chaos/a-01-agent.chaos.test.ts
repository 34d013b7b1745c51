// The agent dies, freezes, or runs twice.
import { stat } from 'node:fs/promises'
import { afterAll, beforeAll, beforeEach, expect } from 'vitest'
import { eventually, setup, teardown } from './setup.ts'
import type { Chaos } from './setup.ts'
import { scenario } from './table.ts'
import { shellThatLosesStarted } from './wrapped-shell.ts'

let chaos: Chaos
let wrapped: Awaited<ReturnType<typeof shellThatLosesStarted>>
beforeAll(async () => {
  wrapped = await shellThatLosesStarted()
  chaos = await setup({ podPath: wrapped.directory })
})
afterAll(async () => {
  await teardown(chaos)
  await wrapped.remove()
})
// The next scenario needs an agent, whatever happened in this one.
beforeEach(() => chaos.restartAgent())

scenario(
  1,
  'the agent is killed twice in the middle of a run: the process is not touched, its log goes on byte for byte',
  'the cursor that the log stores with the events',
  async () => {
    const { id } = await chaos.script(chaos.ledger.scripts.counting(60, 0.1))
    const reader = chaos.follow(id)
    for (const line of ['line 5 ', 'line 25 ']) {
      await reader.until((event) => String(event.data.text).includes(line))
      await chaos.restartAgent()
    }
    const { tasks } = await chaos.verdict()
    expect(tasks[0]).toMatchObject({ status: 'succeeded', attempt: 1 })
  },
)

for (const provider of ['claude-code', 'opencode']) {
  scenario(
    1,
    `the agent is killed during a tool call of ${provider}: the tool ran once, and the CLI came to its end`,
    'the cursor that the log stores with the events',
    async () => {
      const once = chaos.ledger.scripts.toolCall('sleep 2; echo through')
      const prompt = `[[scenario: tool]] [[command: ${once}]]`
      const { id } = await chaos.accept(
        { kind: 'agent', project_id: 'demo', provider, allowed_tools: ['Bash'], prompt },
        { unsigned: true },
      )
      chaos.follow(id)
      await chaos.ledger.until((marks) => marks.some(({ attempt }) => attempt.startsWith(id)))
      await chaos.restartAgent()
      const { tasks, logs } = await chaos.verdict()
      expect(tasks[0]).toMatchObject({ status: 'succeeded', attempt: 1 })
      expect(await chaos.ledger.starts(id)).toHaveLength(1)
      const types = logs.get(id)!.map(({ type }) => type)
      for (const type of ['agent.started', 'tool.started', 'tool.finished']) expect(types.filter((one) => one === type)).toHaveLength(1)
    },
  )
}

scenario(
  2,
  'the agent is frozen in the middle of a run while another takes over, and thaws: the log stays whole',
  'epochs: only the newest connection speaks for the cluster and the attempt',
  async () => {
    const { id } = await chaos.script(chaos.ledger.scripts.counting(100, 0.1))
    const reader = chaos.follow(id)
    await reader.until((event) => event.type === 'output')
    const frozen = chaos.agent
    await frozen.kill('SIGSTOP')
    chaos.agent = await chaos.secondAgent()
    const { length } = reader.events
    await reader.until(({ seq }) => seq > length + 1)
    await frozen.kill('SIGCONT')
    const { tasks } = await chaos.verdict()
    expect(tasks[0]).toMatchObject({ status: 'succeeded', attempt: 1 })
    await frozen.kill('SIGKILL')
  },
)

scenario(
  2,
  'the agent is frozen with an assignment, another starts the attempt, the first thaws and starts it too: it runs once',
  'the start guard: one file made with O_EXCL',
  async () => {
    const frozen = chaos.agent
    await frozen.kill('SIGSTOP')
    const assigned = chaos.agentProxy.on(({ type, direction }) => type === 'assign' && direction === 'down', 'pass')
    const { id } = await chaos.script(chaos.ledger.scripts.counting(60, 0.1))
    await assigned.caught
    chaos.agent = await chaos.secondAgent()
    const reader = chaos.follow(id)
    await reader.until((event) => event.type === 'output')
    await frozen.kill('SIGCONT')
    const { tasks } = await chaos.verdict()
    expect(tasks[0]).toMatchObject({ status: 'succeeded', attempt: 1 })
    await frozen.kill('SIGKILL')
  },
)

scenario(
  [2, 7],
  'the agent thaws with its assignment when the attempt has run, ended and been removed: nothing starts again',
  'the floor: the lowest attempt that a pod will still start',
  async () => {
    const frozen = chaos.agent
    await frozen.kill('SIGSTOP')
    const assigned = chaos.agentProxy.on(({ type, direction }) => type === 'assign' && direction === 'down', 'pass')
    const { id } = await chaos.script(chaos.ledger.scripts.quick())
    await assigned.caught
    chaos.agent = await chaos.secondAgent()
    expect(await chaos.client.finished(id)).toMatchObject({ status: 'succeeded', attempt: 1 })
    const pods = ['worker-1', 'worker-2'].map((pod) => `${chaos.dataDirectory}/pods/${pod}/.rdev/attempts/${id}.1`)
    const gone = async (path: string) => (await stat(path).catch(() => undefined)) === undefined
    await eventually(async () => (await gone(pods[0]!)) && (await gone(pods[1]!)), 'the attempt directory is removed')
    const printed = chaos.printed.length
    await frozen.kill('SIGCONT')
    const refused = () => chaos.printed.slice(printed).join('').includes('attempt rejected')
    const starts = async () => (await chaos.ledger.starts(id)).length
    await eventually(async () => refused() || (await starts()) > 1, 'the thawed agent tries to start it')
    expect(await starts()).toBe(1)
    await chaos.verdict()
    await frozen.kill('SIGKILL')
  },
)

scenario(
  3,
  'the agent dies with an assignment that it has not started: the next one gets it again, the same attempt',
  'hello and welcome: what should run is derived again for every connection',
  async () => {
    await chaos.agent.kill('SIGSTOP')
    const assigned = chaos.agentProxy.on(({ type, direction }) => type === 'assign' && direction === 'down', 'pass')
    const { id } = await chaos.script(chaos.ledger.scripts.counting(5, 0.05))
    await assigned.caught
    await chaos.restartAgent()
    chaos.follow(id)
    const { tasks } = await chaos.verdict()
    expect(tasks[0]).toMatchObject({ status: 'succeeded', attempt: 1 })
  },
)

scenario(
  4,
  'the agent dies after the start and before it tells the hub: the next one adopts the process',
  'the attempt directory says what runs; the start guard refuses a second start',
  async () => {
    // It is told neither on the control socket nor on the attempt's line.
    const accepted = chaos.agentProxy.on(({ type }) => type === 'accepted', 'hold')
    const told = chaos.agentProxy.on(({ type, direction }) => type === 'events' && direction === 'up', 'hold')
    const { id } = await chaos.script(chaos.ledger.scripts.counting(20, 0.1))
    await accepted.caught
    await chaos.ledger.until((marks) => marks.some(({ attempt }) => attempt === `${id}.1`))
    await chaos.agent.kill('SIGKILL')
    accepted.release('drop')
    told.release('drop')
    await chaos.startAgent()
    chaos.follow(id)
    const { tasks } = await chaos.verdict()
    expect(tasks[0]).toMatchObject({ status: 'succeeded', attempt: 1 })
  },
)

scenario(
  6,
  'the answer of a start is lost with its shell, so the start is executed again: one process',
  'the start guard: its owner learns that its own start won',
  async () => {
    await wrapped.lose(1)
    const { id } = await chaos.script(chaos.ledger.scripts.counting(10, 0.05))
    await chaos.follow(id).done
    expect(await wrapped.lost()).toBe(1)
    const { tasks } = await chaos.verdict()
    expect(tasks[0]).toMatchObject({ status: 'succeeded', attempt: 1 })
  },
)

scenario(
  51,
  'an agent of a protocol that the hub does not speak takes the place of one in the middle of a run: it is refused, nothing is touched or handed to it',
  'both ends name their protocol; a hub refuses what it does not speak',
  async () => {
    const running = await chaos.script(chaos.ledger.scripts.counting(60, 0.1))
    const reader = chaos.follow(running.id)
    await reader.until((event) => event.type === 'output')
    await chaos.agent.kill('SIGKILL')
    const { connections } = chaos.agentProxy.counters
    const printed = chaos.printed.length
    const newer = await chaos.secondAgent({ without: 'newer protocol' })
    const refused = () => chaos.printed.slice(printed).join('').includes('does not speak the protocol')
    await eventually(refused, 'the agent is refused')
    const waiting = await chaos.script(chaos.ledger.scripts.quick())
    await new Promise((resolve) => setTimeout(resolve, 3_000))
    expect(await chaos.ledger.starts(waiting.id)).toEqual([])
    // It does not dial again and again.
    expect(chaos.agentProxy.counters.connections).toBeLessThanOrEqual(connections + 3)
    await newer.kill('SIGKILL')
    await chaos.startAgent()
    const { tasks } = await chaos.verdict()
    for (const task of tasks) expect(task).toMatchObject({ status: 'succeeded', attempt: 1 })
  },
)

scenario(
  51,
  'an agent of an older protocol that is still spoken is replaced by one of today in the middle of a run: it is adopted',
  'a hub speaks every version since the oldest',
  async () => {
    await chaos.agent.kill('SIGKILL')
    const older = await chaos.secondAgent({ without: 'older protocol' })
    const { id } = await chaos.script(chaos.ledger.scripts.counting(40, 0.1))
    const reader = chaos.follow(id)
    await reader.until((event) => event.type === 'output')
    await older.kill('SIGKILL')
    await chaos.startAgent()
    const { tasks } = await chaos.verdict()
    expect(tasks[0]).toMatchObject({ status: 'succeeded', attempt: 1 })
  },
)

scenario(
  51,
  'frames of types that the other end does not know come between all others: they are ignored',
  'unknown types are told apart from malformed frames',
  async () => {
    const first = JSON.stringify({ type: 'weather', rain: true })
    const kinds = ['assign', 'accepted', 'resume', 'events', 'ack', 'result', 'finished']
    const rules = kinds.map((kind) => chaos.agentProxy.on(({ type }) => type === kind, { first }))
    const { connections } = chaos.agentProxy.counters
    const { id } = await chaos.script(chaos.ledger.scripts.counting(5, 0.05))
    await chaos.follow(id).done
    await Promise.all(rules.map((rule) => rule.caught))
    // Only the attempt's own line: no connection was closed.
    expect(chaos.agentProxy.counters.connections).toBe(connections + 1)
    await chaos.verdict()
  },
)
