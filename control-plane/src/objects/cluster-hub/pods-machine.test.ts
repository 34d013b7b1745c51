import { expect, test } from 'vitest'
import { missingPodMs, missingPodsEveryMs, netMs } from './state.ts'
import { aPod, aTask, aTaskId } from '../machine-fixtures.ts'
import { setup, welcomed } from './fixtures.ts'

const other = aPod({ name: 'pod-2', uid: 'two' })

/** A hub whose agent was welcomed `ms` ago, with pod-1. */
function after(ms: number, pods = [aPod()]) {
  const hub = welcomed(pods)
  hub.pass(ms)
  /** Something is queued and fits no slot. Answers the `pods` of the next inspection of the queue; null: it does not look for missing pods. */
  const look = () => {
    hub.forget()
    hub.step({ type: 'poke' })
    while (hub.state().claim !== null) hub.claimed()
    return hub.take('inspect_queue')[0]!.pods
  }
  const failed = () => hub.writes().flatMap((write) => (write.kind === 'fail_missing_pods' ? [write.pods] : []))
  return { ...hub, look, failed }
}

test('a pod of a project whose id is none is not believed, not listed and not offered', () => {
  const junk = ['Not A Label', '../<b>', 'a\u0000b', 'x'.repeat(64)].map((project_id, i) => aPod({ name: `junk-${i}`, project_id }))
  const nameless = aPod({ name: 'nameless', project_id: null })
  const hub = welcomed([...junk, aPod(), nameless])
  hub.frame({ type: 'pods', pods: [aPod(), ...junk, nameless] })
  expect(hub.writes()).toMatchObject([{ kind: 'report', pods: [{ name: 'pod-1' }, { name: 'nameless' }] }])
  expect(hub.state().pods.map(({ name }) => name)).toEqual(['pod-1', 'nameless'])
  hub.step({ type: 'poke' })
  expect(new Set(hub.take('claim')[0]?.slots.map(({ pod }) => pod))).toEqual(new Set(['pod-1']))
})

test('an agent is asked for its pods when a project was registered, if it is there', () => {
  const hub = welcomed()
  hub.step({ type: 'project_registered' })
  expect(hub.sent('sync')).toHaveLength(1)
  const away = setup()
  away.step({ type: 'project_registered' })
  expect(away.sent('sync')).toEqual([])
})

test('tasks that are bound to a pod missing for five minutes fail, and their logs are synced', () => {
  const hub = after(missingPodMs)
  expect(hub.look()).toEqual(['pod-1'])
  hub.queueInspected(true, null, ['gone-1', 'gone-2'])
  expect(hub.failed()).toEqual([['gone-1', 'gone-2']])
  hub.forget()
  hub.written('fail_missing_pods', aTask({ status: 'failed' }))
  expect(hub.take('sync_logs')).toMatchObject([{ tasks: [{ id: aTaskId(1), status: 'failed' }] }])
  // The tasks behind them are claimed now, and the queue is inspected again.
  expect(hub.take('claim')).toHaveLength(1)
  hub.claimed()
  expect(hub.take('inspect_queue')).toMatchObject([{ pods: ['pod-1'] }])
})

test('nothing is looked for before an agent was welcomed for so long, and then only every 30 s', () => {
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

test('a pod that went lately gets five minutes, and a pod that came back gets them again', () => {
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

test('a pod that comes during the inspection keeps its tasks', () => {
  const hub = after(missingPodMs)
  hub.look()
  hub.frame({ type: 'pods', pods: [aPod(), other] })
  hub.queueInspected(true, null, ['pod-2'])
  expect(hub.failed()).toEqual([])
})

test('the time starts again with a new connection, not with another hello on the same', () => {
  const hub = after(missingPodMs)
  hub.hello([aPod()])
  hub.loaded()
  hub.claimed()
  expect(hub.take('inspect_queue')).toMatchObject([{ pods: ['pod-1'] }])
  hub.connect('b')
  // The answer to an inspection of the connection before.
  hub.queueInspected(true, null, ['gone'])
  hub.hello([aPod()], [], 'b')
  hub.loaded()
  expect(hub.failed()).toEqual([])
  expect(hub.look()).toBeNull()
})

test('without an agent nothing is looked for', () => {
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

test('a failed write is not repeated: the next inspection finds the tasks again if they are still there', () => {
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
