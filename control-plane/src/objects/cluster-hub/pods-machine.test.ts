import { expect, test } from 'vitest'
import { missingPodMs, missingPodsEveryMs, netMs } from './state.ts'
import { aPod, aTask, aTaskId } from '../machine-fixtures.ts'
import { setup, welcomed } from './fixtures.ts'

const other = aPod({ name: 'pod-2', uid: 'two' })

/** A hub whose agent was welcomed that long ago, with pod-1. */
function after(ms: number, pods = [aPod()]) {
  const hub = welcomed(pods)
  hub.pass(ms)
  /** Something is queued and no slot fits it: what the next look at the queue compares with; null: it does not look for missing pods. */
  const look = () => {
    hub.forget()
    hub.step({ type: 'poke' })
    while (hub.state().claim !== null) hub.claimed()
    return hub.take('inspect_queue')[0]!.pods
  }
  const failed = () => hub.writes().flatMap((write) => (write.kind === 'fail_missing_pods' ? [write.pods] : []))
  return { ...hub, look, failed }
}

test('what is bound to a pod that is missing for five minutes fails, and its log is told', () => {
  const hub = after(missingPodMs)
  expect(hub.look()).toEqual(['pod-1'])
  hub.queueInspected(true, null, ['gone-1', 'gone-2'])
  expect(hub.failed()).toEqual([['gone-1', 'gone-2']])
  hub.forget()
  hub.written('fail_missing_pods', aTask({ status: 'failed' }))
  expect(hub.take('sync_logs')).toMatchObject([{ tasks: [{ id: aTaskId(1), status: 'failed' }] }])
  // What stood behind them is claimed now, and looked at again.
  expect(hub.take('claim')).toHaveLength(1)
  hub.claimed()
  expect(hub.take('inspect_queue')).toMatchObject([{ pods: ['pod-1'] }])
})

test('nobody looks before an agent was there for so long, and then only now and then', () => {
  const hub = after(missingPodMs - 1)
  expect(hub.look()).toBeNull()
  hub.queueInspected(true)
  hub.pass(1)
  expect(hub.look()).not.toBeNull()
  hub.queueInspected(true, null, [])
  hub.pass(missingPodsEveryMs - 1)
  expect(hub.look()).toBeNull()
  hub.queueInspected(true)
  hub.pass(1)
  expect(hub.look()).not.toBeNull()
  expect(hub.failed()).toEqual([])
})

test('a pod that went lately is given its time, and one that came back has it anew', () => {
  const hub = after(missingPodMs, [aPod(), other])
  hub.frame({ type: 'pods', pods: [aPod()] })
  const found = () => {
    expect(hub.look()).toEqual(['pod-1'])
    hub.queueInspected(true, null, ['pod-2'])
    return hub.failed()
  }
  hub.pass(missingPodMs - 1)
  expect(found()).toEqual([])
  hub.frame({ type: 'pods', pods: [aPod(), other] })
  hub.frame({ type: 'pods', pods: [aPod()] })
  hub.pass(missingPodMs - 1)
  expect(found()).toEqual([])
  hub.pass(missingPodsEveryMs)
  expect(found()).toEqual([['pod-2']])
})

test('a pod that comes while the rows are being looked at keeps its tasks', () => {
  const hub = after(missingPodMs)
  hub.look()
  hub.frame({ type: 'pods', pods: [aPod(), other] })
  hub.queueInspected(true, null, ['pod-2'])
  expect(hub.failed()).toEqual([])
})

test('a new connection counts anew; a further hello on the same does not', () => {
  const hub = after(missingPodMs)
  hub.hello([aPod()])
  hub.loaded()
  hub.claimed()
  expect(hub.take('inspect_queue')).toMatchObject([{ pods: ['pod-1'] }])
  hub.step({ type: 'connected', connection: 'b' })
  // What was found while the one before was there.
  hub.queueInspected(true, null, ['gone'])
  hub.hello([aPod()], [], 'b')
  hub.loaded()
  expect(hub.failed()).toEqual([])
  expect(hub.look()).toBeNull()
})

test('without an agent nobody looks', () => {
  const hub = after(missingPodMs)
  hub.step({ type: 'closed', connection: 'a' })
  hub.forget()
  hub.step({ type: 'poke' })
  expect(hub.take('inspect_queue')).toMatchObject([{ pods: null }])
  const cold = setup()
  cold.pass(missingPodMs)
  cold.step({ type: 'poke' })
  expect(cold.take('inspect_queue')).toMatchObject([{ pods: null }])
})

test('a write that failed is not repeated as it was: the next look says whether it is still so', () => {
  const hub = after(missingPodMs)
  hub.look()
  hub.queueInspected(true, null, ['gone'])
  hub.fail('fail_missing_pods')
  expect([...hub.state().writes.values()].filter(({ write }) => write.kind === 'fail_missing_pods')).toEqual([])
  hub.pass(missingPodsEveryMs)
  expect(hub.look()).toEqual(['pod-1'])
  hub.queueInspected(true, null, ['gone'])
  expect(hub.failed()).toEqual([['gone']])
})

test('one write at a time, and none of it keeps an idle hub awake', () => {
  const hub = after(missingPodMs)
  hub.look()
  hub.queueInspected(true, null, ['gone'])
  expect(hub.failed()).toEqual([['gone']])
  hub.pass(missingPodsEveryMs)
  hub.look()
  hub.queueInspected(true, null, ['gone'])
  expect(hub.failed()).toEqual([])
  hub.written('fail_missing_pods')
  hub.pass(netMs)
  hub.alarm()
  hub.claimed()
  hub.queueInspected()
  hub.pass(netMs)
  hub.alarm()
  expect(hub.state().alarmAt).toBeNull()
})
