// Cancels at the worst moments.
import { afterAll, beforeAll, beforeEach, expect } from 'vitest'
import type { TaskView } from '@rdev/shared/api/tasks'
import { processesOf } from './judge.ts'
import { setup, teardown } from './setup.ts'
import type { Chaos } from './setup.ts'
import { scenario } from './table.ts'

let chaos: Chaos
beforeAll(async () => {
  chaos = await setup({ slots: 8 })
})
afterAll(() => teardown(chaos))
// The next scenario needs an agent, whatever happened in this one.
beforeEach(() => chaos.restartAgent())

const races = 1_000
const beside = 16

const left = async (id: string) => (await processesOf(await chaos.ledger.starts(id))).filter(({ attempt }) => attempt.startsWith(`${id}.`))
const requestCancel = (id: string) => chaos.client.json<TaskView>('POST', `/v1/tasks/${id}/cancel`)

scenario(
  36,
  `cancel races the end of ${races.toLocaleString('en')} tasks: each has exactly one outcome`,
  'the first reason that is written in the attempt directory wins; the row is written once',
  async () => {
    let more = races
    const outcomes = { succeeded: [] as string[], cancelled: [] as string[] }
    // The delay moves to where both outcomes are equally frequent.
    let delayMs = 400
    const race = async () => {
      while (more-- > 0) {
        const { id } = await chaos.script(chaos.ledger.scripts.body('say racing; sleep 0.4'))
        await new Promise((resolve) => setTimeout(resolve, delayMs * (0.5 + Math.random())))
        await requestCancel(id)
        const { status } = await chaos.client.finished(id)
        if (status === 'cancelled' && (await left(id)).length > 0) throw new Error(`${id} is cancelled and has processes`)
        if (status !== 'succeeded' && status !== 'cancelled') throw new Error(`${id} is ${status}`)
        outcomes[status].push(id)
        delayMs = Math.max(1, delayMs + (status === 'cancelled' ? 10 : -10))
      }
    }
    await Promise.all(Array.from({ length: beside }, race))
    const marks = await chaos.ledger.marks()
    const begun = new Set(marks.map(({ attempt }) => attempt.slice(0, attempt.lastIndexOf('.'))))
    const ended = new Set(marks.flatMap(({ what, attempt }) => (what === 'end' ? [attempt.slice(0, attempt.lastIndexOf('.'))] : [])))
    const cut = outcomes.cancelled.filter((id) => begun.has(id) && !ended.has(id))
    console.log(`${outcomes.succeeded.length} succeeded, ${outcomes.cancelled.length} cancelled, ${cut.length} of those in the middle`)
    // If only one outcome came, there was no race.
    expect(Math.min(outcomes.succeeded.length, cut.length)).toBeGreaterThan(races / 50)
    await chaos.verdict()
  },
  { timeoutMs: 600_000 },
)

scenario(
  37,
  'a cancel comes while the agent is dead and the process runs on: the next agent ends it, and only then it is cancelled',
  'the cancel request is in the row and in the log, and told at every connection',
  async () => {
    const { id } = await chaos.script(chaos.ledger.scripts.counting(600, 0.1))
    const reader = chaos.follow(id)
    await reader.until((event) => event.type === 'output')
    await chaos.agent.kill('SIGKILL')
    expect(await requestCancel(id)).toMatchObject({ status: 'running' })
    expect((await left(id)).length).toBeGreaterThan(0)
    await chaos.startAgent()
    const { tasks } = await chaos.verdict()
    expect(tasks[0]).toMatchObject({ status: 'cancelled', error_code: 'CANCELLED', attempt: 1 })
  },
)

scenario(
  37,
  'a cancel comes for an attempt whose assignment died with the agent: it is cancelled, with nothing left',
  'the cancel request is in the row and in the log, and told at every connection',
  async () => {
    const held = chaos.agentProxy.on(({ type }) => type === 'assign', 'hold')
    const { id } = await chaos.script(chaos.ledger.scripts.counting(600, 0.1))
    await held.caught
    await chaos.agent.kill('SIGKILL')
    held.release('drop')
    await requestCancel(id)
    await chaos.startAgent()
    chaos.follow(id)
    const { tasks } = await chaos.verdict()
    expect(tasks[0]).toMatchObject({ status: 'cancelled', error_code: 'CANCELLED' })
  },
)

scenario(38, 'a process ignores INT and TERM: the cancel ends it all the same', 'INT, TERM, KILL, until nothing is left', async () => {
  const { id } = await chaos.script(chaos.ledger.scripts.deaf())
  await chaos.follow(id).until((event) => event.type === 'output')
  await requestCancel(id)
  const { tasks } = await chaos.verdict()
  expect(tasks[0]).toMatchObject({ status: 'cancelled', error_code: 'CANCELLED', attempt: 1 })
})

scenario(
  35,
  'a task leaves a child in a session of its own: it is gone when the task has ended, whether by itself or cancelled',
  'the tree is everything that carries the tag of the attempt',
  async () => {
    const { id } = await chaos.script(chaos.ledger.scripts.daemoniser(5, 0.1))
    const other = await chaos.script(chaos.ledger.scripts.daemoniser(600, 0.1))
    await chaos.follow(other.id).until((event) => event.type === 'output')
    await requestCancel(other.id)
    const { tasks } = await chaos.verdict()
    expect(tasks.map(({ status }) => status)).toEqual(['succeeded', 'cancelled'])
    expect([...(await left(id)), ...(await left(other.id))]).toEqual([])
  },
)
