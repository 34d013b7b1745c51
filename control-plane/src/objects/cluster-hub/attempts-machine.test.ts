import { describe, expect, test } from 'vitest'
import { hubCeilingMs, orphanMs, sweepEveryMs } from '@rdev/shared/domain/limits'
import { initialHub, podAbsentMs } from './state.ts'
import { aPod, aSpec, aTask, aTaskId } from '../machine-fixtures.ts'
import { start, setup, welcomed, live, running, presence, ref, accepted, finished, rejected, dispatched } from './fixtures.ts'

describe('attempts', () => {
  test('accepted is written once, however often it is received', () => {
    const hub = dispatched()
    hub.forget()
    hub.frame(accepted(1))
    hub.frame(accepted(1))
    expect(hub.writes()).toEqual([{ kind: 'mark_started', started: [{ ...ref(1), started_at: 5 }] }])
  })

  test('an accepted attempt that the hub does not know makes it ask for hello', () => {
    const hub = welcomed()
    hub.frame(accepted(9))
    expect(hub.sent('sync')).toHaveLength(1)
    hub.hello([aPod()], [presence(9)])
    hub.loaded()
    expect(hub.sent('welcome')).toMatchObject([{ stop: [ref(9)] }])
  })

  test('an attempt of which its agent tells no end until long after its time limit is lost, and its agent is told to stop it', () => {
    const hub = dispatched()
    hub.frame(accepted(1))
    hub.written('mark_started')
    hub.forget()
    const limitMs = aSpec().timeout_s * 1000 + hubCeilingMs
    for (let passed = 0; passed < limitMs - sweepEveryMs; passed += sweepEveryMs) {
      hub.pass(sweepEveryMs)
      hub.alarm()
    }
    expect(hub.writes()).toEqual([])
    hub.pass(sweepEveryMs)
    hub.alarm()
    expect(hub.writes()).toMatchObject([{ kind: 'end', task: { id: aTaskId(1) }, outcome: { status: 'lost', error_code: 'LOST' } }])
    expect(hub.sent('sync')).toHaveLength(1)
    hub.hello([aPod()], [presence(1)])
    hub.written('end')
    hub.loaded()
    expect(hub.sent('welcome')).toMatchObject([{ stop: [ref(1)] }])
  })

  test('rejected goes back to the queue after a jittered wait, and is claimed again', () => {
    const hub = dispatched()
    hub.queueInspected()
    hub.forget()
    hub.frame(rejected(1, 'no_free_slot'), 'a', 0.5)
    expect(hub.writes()).toEqual([{ kind: 'requeue', ref: ref(1), run_after: start + 500, doubted: null, generation: 1 }])
    expect(hub.phases()).toEqual(['01.1 leaving'])
    hub.frame(rejected(1, 'no_free_slot'))
    expect(hub.writes()).toEqual([])
    hub.written('requeue', aTask({ attempt: 1 }))
    expect(hub.phases()).toEqual([])
    expect(hub.take('sync_logs')).toMatchObject([{ tasks: [{ status: 'queued', attempt: 1 }] }])
    expect(hub.take('claim')).toHaveLength(1)
  })

  // Found by the simulator: it had run, its log held the result, its pod was gone, and it was given back as never started.
  test('an attempt that was sent before, or whose pod is gone, is given back only if its log has received nothing of it', () => {
    const hub = setup()
    hub.connect('a')
    hub.hello([aPod()])
    hub.loaded(live(1), live(2, { pod: 'pod-2' }))
    hub.forget()
    hub.frame(rejected(1, 'start_failed'))
    expect(hub.writes()).toMatchObject([{ kind: 'requeue', ref: ref(1), doubted: { id: aTaskId(1), attempt: 1 } }])
    hub.pass(podAbsentMs)
    hub.alarm()
    expect(hub.writes()).toMatchObject([{ kind: 'requeue', ref: ref(2), doubted: { id: aTaskId(2), attempt: 1 } }])
  })

  // Found by the simulator: two agents had it; one reported that the pod was not ready, and the other was about to start it there.
  test('an attempt that was sent before is given back only if its pod refuses it; until then the hub asks', () => {
    const hub = setup()
    hub.connect('a')
    hub.hello([aPod()])
    hub.loaded(live(1), live(2, { pod: 'pod-2' }))
    hub.forget()
    hub.frame(rejected(1, 'pod_not_ready'))
    expect(hub.writes()).toEqual([])
    expect(hub.phases()).toContain('01.1 unknown')
    hub.pass(sweepEveryMs)
    hub.alarm()
    expect(hub.sent('sync')).toHaveLength(1)
    hub.hello([aPod()])
    hub.loaded(live(1))
    expect(hub.assigned()).toEqual(['01.1'])
    hub.frame(rejected(1, 'start_failed'))
    expect(hub.writes()).toContainEqual(expect.objectContaining({ kind: 'requeue', ref: ref(1) }))
  })

  test('an attempt whose return was void under an earlier generation is given back again under the newest', () => {
    const hub = dispatched()
    hub.frame(rejected(1, 'no_free_slot'))
    hub.hello([aPod()])
    hub.loaded(live(1))
    hub.forget()
    hub.written('requeue')
    expect(hub.writes()).toMatchObject([{ kind: 'requeue', ref: ref(1), generation: 2 }])
    expect(hub.phases()).toEqual(['01.1 leaving'])
    hub.written('requeue')
    expect(hub.phases()).toEqual([])
  })

  test('five failed dispatches are a failure; a draining agent’s do not count', () => {
    const hub = dispatched(live(1, { attempt: 5 }), live(2, { attempt: 5 }))
    hub.forget()
    hub.frame(rejected(1, 'start_failed', 5))
    hub.frame(rejected(2, 'draining', 5))
    expect(hub.writes()).toMatchObject([
      { kind: 'fail', outcome: { status: 'failed', error_code: 'POD_UNAVAILABLE' } },
      { kind: 'requeue', run_after: start },
    ])
  })

  test('attempts that the policy allows are not counted as failed dispatches', () => {
    const hub = dispatched(live(1, { attempt: 5, spec: aSpec({ retry: { max_attempts: 3, on: ['infra'] } }) }))
    hub.forget()
    hub.frame(rejected(1, 'start_failed', 5))
    expect(hub.writes()).toMatchObject([{ kind: 'requeue' }])
  })

  test('a missing binary fails at once', () => {
    const hub = dispatched()
    hub.forget()
    hub.frame(rejected(1, 'binary_missing'))
    expect(hub.writes()).toMatchObject([{ kind: 'fail', outcome: { status: 'failed', error_code: 'BINARY_MISSING' } }])
  })

  test('a workspace that is still held is waited for, longer than a slot is', () => {
    const hub = dispatched()
    hub.forget()
    hub.frame(rejected(1, 'workspace_busy'))
    const [requeue] = hub.writes()
    expect(requeue).toMatchObject({ kind: 'requeue', ref: { attempt: 1 } })
    expect(requeue?.kind === 'requeue' && requeue.run_after - start).toBeGreaterThanOrEqual(5_000)
  })

  test('an attempt that was sent before and is refused by the floor was there: it is lost, not run again', () => {
    const hub = setup()
    hub.connect('a')
    hub.hello([aPod()])
    hub.loaded(live(1))
    hub.forget()
    hub.frame(rejected(1, 'floor'))
    expect(hub.writes()).toMatchObject([{ kind: 'end', outcome: { status: 'lost' } }])
  })

  test('a running attempt that is rejected for now is not touched', () => {
    const hub = welcomed([aPod()], [presence(1)], running(1))
    hub.frame(rejected(1, 'pod_not_ready'))
    expect(hub.writes()).toEqual([])
    expect(hub.phases()).toEqual(['01.1 unknown'])
  })

  test('an attempt that is being given back is neither sent nor adopted at a hello', () => {
    const hub = dispatched()
    hub.frame(rejected(1, 'no_free_slot'))
    hub.connect('b')
    hub.forget()
    hub.hello([aPod()], [], 'b')
    hub.loaded(live(1))
    expect(hub.assigned()).toEqual([])
    hub.written('requeue', aTask({ attempt: 1 }))
    expect(hub.phases()).toEqual([])
  })

  test('a hello that was written before an assignment does not make it lost', () => {
    const hub = dispatched()
    hub.forget()
    hub.hello([aPod()])
    hub.frame(accepted(1))
    hub.loaded(live(1))
    expect(hub.writes().filter(({ kind }) => kind === 'end')).toEqual([])
    expect(hub.phases()).toEqual(['01.1 running'])
  })

  // Found by the simulator: another agent had ended it, this one dropped it, and the hub renewed its lease for ever.
  test('an attempt that was confirmed on a connection and is missing in a later hello of it is gone', () => {
    const hub = dispatched()
    hub.frame(accepted(1))
    hub.forget()
    hub.hello([aPod()])
    hub.loaded(running(1))
    expect(hub.writes()).toContainEqual(expect.objectContaining({ kind: 'end' }))
    expect(hub.phases()).toEqual(['01.1 leaving'])
  })

  test('a failed write is repeated until it succeeds', () => {
    const hub = dispatched()
    hub.frame(accepted(1))
    for (let i = 0; i < 3; i++) {
      hub.fail('mark_started')
      hub.forget()
      hub.pass(5_000)
      hub.alarm()
      expect(hub.writes().filter(({ kind }) => kind === 'mark_started')).toHaveLength(1)
    }
    hub.written('mark_started')
    hub.pass(60_000)
    hub.alarm()
    expect(hub.writes()).toEqual([])
  })

  test('a pod that is gone takes its running attempts with it', () => {
    const hub = welcomed([aPod()], [presence(1)], running(1))
    hub.forget()
    hub.frame({ type: 'pods', pods: [] })
    expect(hub.writes().filter(({ kind }) => kind === 'end')).toMatchObject([{ outcome: { status: 'lost' } }])
  })

  // Found by the simulator: the start command had reached the pod's successor, where the attempt ran when it was ended as lost.
  test('when a pod was replaced under its name, the hub asks before it concludes anything', () => {
    const replaced = aPod({ uid: 'uid-2' })
    for (const there of [true, false]) {
      const hub = welcomed([aPod()], [presence(1)], running(1))
      hub.forget()
      hub.frame({ type: 'pods', pods: [replaced] })
      expect(hub.writes().filter(({ kind }) => kind === 'end')).toEqual([])
      expect(hub.sent('sync')).toHaveLength(1)
      hub.hello([replaced], there ? [presence(1)] : [])
      hub.loaded(running(1))
      expect(hub.writes().filter(({ kind }) => kind === 'end')).toHaveLength(there ? 0 : 1)
      expect(hub.phases()).toEqual([there ? '01.1 running' : '01.1 leaving'])
    }
  })

  test('an attempt that was sent and not confirmed does not start in another pod of that name: the agent looks for it', () => {
    const hub = dispatched()
    hub.connect('b')
    hub.forget()
    hub.hello([aPod({ uid: 'uid-2' })], [], 'b')
    hub.loaded(live(1))
    expect(hub.sent('assign')).toEqual([])
    expect(hub.writes().map(({ kind }) => kind)).toEqual(['report'])
    hub.connect('c')
    hub.forget()
    hub.hello([aPod({ uid: 'uid-3' })], [], 'c')
    hub.loaded(live(1))
    expect(hub.sent('welcome')).toMatchObject([{ adopt: [ref(1)] }])
  })

  // Found by the simulator: a hub without memory sent it to the pod's successor, and the same attempt ran twice.
  test('a hub without memory does not send it to another pod of that name either', () => {
    const hub = dispatched()
    const woken = setup(initialHub('boot-2', hub.state().durable))
    woken.connect('b')
    woken.hello([aPod({ uid: 'uid-2' })], [], 'b')
    woken.loaded(live(1), live(2, { pod_uid: null }))
    const frames = woken.take('send').map(({ frame }) => frame)
    expect(frames.find(({ type }) => type === 'welcome')).toMatchObject({ adopt: [ref(1)] })
    expect(frames.filter(({ type }) => type === 'assign')).toMatchObject([{ tasks: [ref(2)] }])
  })

  // Found by the simulator: the pod came back under its name between two inventories, and the start counted as one in a pod that is gone.
  test('an attempt that is accepted in a pod outside the inventory is not given up: the hub asks', () => {
    const hub = dispatched()
    hub.frame({ type: 'pods', pods: [] })
    hub.forget()
    hub.frame(accepted(1))
    expect(hub.writes().map(({ kind }) => kind)).toEqual(['mark_started'])
    expect(hub.sent('sync')).toHaveLength(1)
    hub.hello([aPod({ uid: 'uid-2' })], [presence(1)])
    hub.loaded(running(1))
    expect(hub.phases()).toEqual(['01.1 running'])
  })

  test('a confirmed attempt whose row does not have the start yet is lost with its pod, not run again', () => {
    const hub = dispatched()
    hub.frame(accepted(1))
    hub.forget()
    hub.connect('b')
    hub.hello([], [], 'b')
    hub.loaded(live(1))
    hub.pass(podAbsentMs)
    hub.alarm()
    expect(hub.writes().filter(({ kind }) => kind !== 'report')).toMatchObject([{ kind: 'end', outcome: { status: 'lost' } }])
  })

  // Found by the simulator: an agent took over from another of its cluster, and had not seen the pod yet.
  test('a pod that the next agent does not know yet is not gone; when it is reported, the hub asks', () => {
    const hub = welcomed([aPod()], [presence(1)], running(1))
    hub.connect('b')
    hub.forget()
    hub.hello([], [], 'b')
    hub.loaded(running(1))
    expect(hub.phases()).toEqual(['01.1 unknown'])
    hub.frame({ type: 'pods', pods: [] }, 'b')
    hub.frame({ type: 'pods', pods: [aPod()] }, 'b')
    expect(hub.sent('sync')).toHaveLength(1)
    hub.hello([aPod()], [presence(1)], 'b')
    hub.loaded(running(1))
    expect(hub.phases()).toEqual(['01.1 running'])
    expect(hub.writes().filter(({ kind }) => kind === 'end')).toEqual([])
  })

  test('a task with a cancel request does not stay in the queue when it goes back', () => {
    const hub = dispatched()
    hub.frame(rejected(1, 'no_free_slot'))
    hub.forget()
    hub.written('requeue', aTask({ attempt: 1, cancel_requested_at: 5 }))
    expect(hub.writes()).toEqual([{ kind: 'cancel_queued', task_id: aTaskId(1) }])
  })
})

describe('time', () => {
  test('while attempts live, leases are renewed every 20 s; with none there is no alarm', () => {
    const hub = dispatched()
    hub.frame(accepted(1))
    hub.written('mark_started')
    hub.queueInspected()
    hub.alarm()
    expect(hub.state().alarmAt).toBe(start + 20_000)
    hub.pass(20_000)
    hub.alarm(1_000)
    expect(hub.take('renew')).toEqual([{ type: 'renew', refs: [ref(1)] }])
    expect(hub.state().alarmAt).toBe(start + 40_000)
    hub.frame(finished(1))
    expect(hub.state().alarmAt).toBeNull()
    expect(hub.take('alarm').at(-1)).toEqual({ type: 'alarm', at: null })
  })

  test('a socket that is silent for more than 45 s is dropped', () => {
    const hub = dispatched()
    hub.pass(20_000)
    hub.alarm(44_000)
    expect(hub.take('close')).toEqual([])
    hub.pass(20_000)
    hub.alarm(46_000)
    expect(hub.take('close')).toMatchObject([{ connection: 'a' }])
    expect(hub.state().connection).toBeNull()
  })

  test('an agent that never says hello is dropped', () => {
    const hub = setup()
    hub.connect('a')
    hub.pass(20_000)
    hub.alarm(0)
    expect(hub.take('close')).toHaveLength(1)
  })

  test('an attempt whose row has ended and that the agent does not report makes the hub ask', () => {
    const hub = dispatched()
    hub.step({ type: 'ended', ref: ref(1) })
    hub.pass(70_000)
    hub.forget()
    hub.alarm(0)
    expect(hub.sent('sync')).toHaveLength(1)
    expect(hub.take('renew')).toEqual([])
  })

  test('without an agent, attempts are lost only when their supervisors have surely ended them', () => {
    const hub = dispatched()
    hub.frame(accepted(1))
    hub.written('mark_started')
    hub.queueInspected()
    hub.step({ type: 'closed', connection: 'a' })
    hub.alarm(null)
    expect(hub.state().alarmAt).toBe(start + 60_000 + orphanMs)
    hub.pass(60_000 + orphanMs - 1)
    hub.alarm(null)
    expect(hub.take('load')).toEqual([])
    hub.pass(1)
    hub.alarm(null)
    expect(hub.take('load')).toHaveLength(1)
    hub.forget()
    hub.loaded(running(1), running(2, { lease_until: start + 90_000 + orphanMs }))
    expect(hub.writes()).toMatchObject([{ kind: 'end', task: { id: aTaskId(1) }, outcome: { status: 'lost' } }])
    expect(hub.state().orphanAt).toBe(start + 90_000 + 2 * orphanMs)
  })
})

describe('an object that was away', () => {
  const woken = { id: 'a', epoch: 6, since: start, key: { id: 'key_home', expires_at: null } }

  test('with a socket asks for hello, and knows everything again', () => {
    const hub = setup()
    hub.step({ type: 'woke', connection: woken })
    expect(hub.sent('sync')).toHaveLength(1)
    hub.frame({ type: 'heartbeat', agent_time: 0, attempts: [] })
    hub.step({ type: 'poke' })
    hub.frame(finished(1))
    hub.hello([aPod()], [presence(2)])
    hub.loaded(running(1), running(2))
    expect(hub.sent('welcome')).toMatchObject([{ epoch: 6, adopt: [ref(2)], stop: [] }])
    expect(hub.take('claim')).toHaveLength(1)
    expect(hub.phases()).toEqual(['02.1 running'])
  })

  test('woken by its alarm leaves that alarm alone, and renews leases when it knows them again', () => {
    const hub = setup()
    hub.step({ type: 'woke', connection: woken })
    expect(hub.take('alarm')).toEqual([])
    hub.alarm(1_000)
    expect(hub.take('alarm')).toEqual([{ type: 'alarm', at: start + 20_000 }])
    hub.hello([aPod()], [presence(1), presence(2)])
    hub.loaded(running(1, { lease_until: start + 39_000 }), running(2, { lease_until: start + 59_000 }))
    expect(hub.take('renew')).toEqual([{ type: 'renew', refs: [ref(1)] }])
  })

  test('woken by its alarm drops a socket that has died meanwhile', () => {
    const hub = setup()
    hub.step({ type: 'woke', connection: woken })
    hub.alarm(46_000)
    expect(hub.take('close')).toMatchObject([{ connection: 'a' }])
  })

  test('without a socket asks nothing, until its alarm comes', () => {
    const hub = setup()
    hub.step({ type: 'woke', connection: null })
    expect(hub.take('load')).toEqual([])
    hub.alarm(null)
    expect([hub.take('load'), hub.take('inspect_queue')]).toMatchObject([[{}], [{}]])
    hub.loaded()
    hub.queueInspected()
    expect(hub.state().alarmAt).toBeNull()
  })

  test('heartbeats are answered', () => {
    const hub = welcomed()
    hub.frame({ type: 'heartbeat', agent_time: 0, attempts: [] })
    expect(hub.sent('alive')).toEqual([{ type: 'alive', server_time: start }])
  })
})
