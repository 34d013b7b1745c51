// The agent dies.
import { afterAll, beforeAll, expect } from 'vitest'
import { setup, teardown } from './setup.ts'
import type { Chaos } from './setup.ts'
import { scenario } from './table.ts'

let chaos: Chaos
beforeAll(async () => {
  chaos = await setup()
})
afterAll(() => teardown(chaos))

scenario(1, 'the agent is killed in the middle of a run: the process is not touched, its log goes on byte for byte', 'cursor', async () => {
  const { id } = await chaos.script(chaos.ledger.scripts.counting(40, 0.1))
  const reader = chaos.follow(id)
  await reader.until((event) => event.type === 'output')
  await chaos.restartAgent()
  await reader.done
  const { tasks } = await chaos.verdict()
  expect(tasks[0]).toMatchObject({ status: 'succeeded', attempt: 1 })
})
