import { expect, test } from 'vitest'
import { homelessMs, homesEveryMs, netMs } from './state.ts'
import { aPod, aTask, aTaskId } from '../machine-fixtures.ts'
import { setup, welcomed } from './fixtures.ts'

const other = aPod({ name: 'pod-2', uid: 'two' })

/** A hub whose agent was welcomed that long ago, with pod-1. */
function after(ms: number, pods = [aPod()]) {
  const hub = welcomed(pods)
  hub.pass(ms)
  /** Something is queued and no place fits it: what the next look at the queue compares with; null: it does not look for homes. */
  const look = () => {
    hub.forget()
    hub.step({ type: 'poke' })
    while (hub.state().claim !== null) hub.claimed()
    return hub.take('inspect_queue')[0]!.pods
  }
  const failed = () => hub.writes().flatMap((write) => (write.kind === 'fail_homeless' ? [write.pods] : []))
  return { ...hub, look, failed }
}

test('what is bound to a pod that is missing for five minutes fails, and its log hears of it', () => {
  const hub = after(homelessMs)
  expect(hub.look()).toEqual(['pod-1'])
  hub.queue_inspected(true, null, ['gone-1', 'gone-2'])
  expect(hub.failed()).toEqual([['gone-1', 'gone-2']])
  hub.forget()
  hub.written('fail_homeless', aTask({ status: 'failed' }))
  expect(hub.take('sync_logs')).toMatchObject([{ tasks: [{ id: aTaskId(1), status: 'failed' }] }])
  // What stood behind them is claimed now, and looked at again.
  expect(hub.take('claim')).toHaveLength(1)
  hub.claimed()
  expect(hub.take('inspect_queue')).toMatchObject([{ pods: ['pod-1'] }])
})

test('nobody looks before an agent was there for so long, and then only now and then', () => {
  const hub = after(homelessMs - 1)
  expect(hub.look()).toBeNull()
  hub.queue_inspected(true)
  hub.pass(1)
  expect(hub.look()).not.toBeNull()
  hub.queue_inspected(true, null, [])
  hub.pass(homesEveryMs - 1)
  expect(hub.look()).toBeNull()
  hub.queue_inspected(true)
  hub.pass(1)
  expect(hub.look()).not.toBeNull()
  expect(hub.failed()).toEqual([])
})

test('a pod that went lately is given its time, and one that came back has it anew', () => {
  const hub = after(homelessMs, [aPod(), other])
  hub.frame({ type: 'pods', pods: [aPod()] })
  const found = () => {
    expect(hub.look()).toEqual(['pod-1'])
    hub.queue_inspected(true, null, ['pod-2'])
    return hub.failed()
  }
  hub.pass(homelessMs - 1)
  expect(found()).toEqual([])
  hub.frame({ type: 'pods', pods: [aPod(), other] })
  hub.frame({ type: 'pods', pods: [aPod()] })
  hub.pass(homelessMs - 1)
  expect(found()).toEqual([])
  hub.pass(homesEveryMs)
  expect(found()).toEqual([['pod-2']])
})

test('a pod that comes while the rows are being looked at keeps its tasks', () => {
  const hub = after(homelessMs)
  hub.look()
  hub.frame({ type: 'pods', pods: [aPod(), other] })
  hub.queue_inspected(true, null, ['pod-2'])
  expect(hub.failed()).toEqual([])
})

test('a new connection counts anew; a further hello on the same does not', () => {
  const hub = after(homelessMs)
  hub.hello([aPod()])
  hub.loaded()
  hub.claimed()
  expect(hub.take('inspect_queue')).toMatchObject([{ pods: ['pod-1'] }])
  hub.step({ type: 'connected', connection: 'b' })
  // What was found while the one before was there.
  hub.queue_inspected(true, null, ['gone'])
  hub.hello([aPod()], [], 'b')
  hub.loaded()
  expect(hub.failed()).toEqual([])
  expect(hub.look()).toBeNull()
})

test('without an agent nobody looks', () => {
  const hub = after(homelessMs)
  hub.step({ type: 'closed', connection: 'a' })
  hub.forget()
  hub.step({ type: 'poke' })
  expect(hub.take('inspect_queue')).toMatchObject([{ pods: null }])
  const cold = setup()
  cold.pass(homelessMs)
  cold.step({ type: 'poke' })
  expect(cold.take('inspect_queue')).toMatchObject([{ pods: null }])
})

test('a write that failed is not repeated as it was: the next look says whether it is still so', () => {
  const hub = after(homelessMs)
  hub.look()
  hub.queue_inspected(true, null, ['gone'])
  hub.fail('fail_homeless')
  expect([...hub.state().writes.values()].filter(({ write }) => write.kind === 'fail_homeless')).toEqual([])
  hub.pass(homesEveryMs)
  expect(hub.look()).toEqual(['pod-1'])
  hub.queue_inspected(true, null, ['gone'])
  expect(hub.failed()).toEqual([['gone']])
})

test('one write at a time, and none of it keeps an idle hub awake', () => {
  const hub = after(homelessMs)
  hub.look()
  hub.queue_inspected(true, null, ['gone'])
  expect(hub.failed()).toEqual([['gone']])
  hub.pass(homesEveryMs)
  hub.look()
  hub.queue_inspected(true, null, ['gone'])
  expect(hub.failed()).toEqual([])
  hub.written('fail_homeless')
  hub.pass(netMs)
  hub.alarm()
  hub.claimed()
  hub.queue_inspected()
  hub.pass(netMs)
  hub.alarm()
  expect(hub.state().alarmAt).toBeNull()
})
