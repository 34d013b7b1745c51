import { cancel, outcome, terminalStatuses, type Task } from '@rdev/shared/domain/task'
import { expect, test } from 'vitest'
import { anActor } from '../../testing/actor.ts'
import { storesContract } from '../contract/contract.ts'
import { contractSetup, refOf, slots, type StoresUnderTest } from '../contract/setup.ts'
import { memoryStores } from './memory-stores.ts'
import type { Stores } from '../stores.ts'

storesContract('memory', async (): Promise<StoresUnderTest> => {
  const fresh = () => memoryStores({ now: () => Date.now() })
  let stores: Stores = fresh()
  return {
    get stores() {
      return stores
    },
    reset: async () => {
      stores = fresh()
    },
    close: async () => {},
  }
})

test('every way of ending calls onEnd once', async () => {
  const ended: Task[] = []
  const stores = memoryStores({ now: () => Date.now() }, (task) => ended.push(task))
  const t = await contractSetup({ stores, reset: async () => {}, close: async () => {} })
  const lastEnd = () => ended.at(-1)

  for (const status of terminalStatuses) {
    await t.add()
    const task = await t.run()
    const finished = await t.end(task, status)
    expect(lastEnd()).toEqual(finished)
    await t.end(task, status)
  }
  const { session_id } = await t.converse({ target: 'pool' })
  const talked = await t.end(await t.run(slots('worker', null)), 'succeeded', { provider_session_id: 'told' })
  expect(lastEnd()).toEqual(talked)

  // An attempt that is followed by another ends no task.
  await t.add({ target: 'pool' })
  const again = await t.dispatch.finish(refOf(await t.lease(slots('worker', null))), outcome('failed'), Date.now())
  expect(again?.status).toBe('queued')
  for (let i = 0; i < 2; i++) await t.tasks.change(again!.id, anActor(), (task) => cancel(task, Date.now()))
  expect(lastEnd()).toMatchObject({ id: again!.id, status: 'cancelled' })

  const late = await t.add({ queue_ttl_s: 5 }, { created_at: Date.now() - 6_000 })
  for (let i = 0; i < 2; i++) await t.dispatch.expireQueued('home')
  expect(lastEnd()).toMatchObject({ id: late.id, error_code: 'QUEUE_EXPIRED' })

  const bound = await t.add({ kind: 'agent', provider: 'claude-code', prompt: 'more', session_id, target: 'pool' })
  for (let i = 0; i < 2; i++) await t.dispatch.failMissingPods('home', ['worker'])
  expect(lastEnd()).toMatchObject({ id: bound.id, error_code: 'POD_UNAVAILABLE' })
  expect(ended).toHaveLength(terminalStatuses.length + 4)
})
