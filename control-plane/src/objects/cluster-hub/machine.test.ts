import { describe, expect, test } from 'vitest'
import { closeCodes } from '@rdev/shared/wire/limits'
import { protocolVersion } from '@rdev/shared/wire/version'
import { sweepEveryMs } from '@rdev/shared/domain/limits'
import { podAbsentMs, refusedAgainMs } from './state.ts'
import { aPod, aTask, aTaskId } from '../machine-fixtures.ts'
import { start, setup, welcomed, live, running, presence, ref, rejected, finished, dispatched } from './fixtures.ts'

describe('connecting', () => {
  test('each connection gets a higher epoch, and closes the one before it', () => {
    const hub = setup()
    hub.connect('a')
    expect(hub.state().durable.epoch).toBe(7)
    hub.connect('b')
    expect(hub.state().durable.epoch).toBe(8)
    expect(hub.take('close')).toMatchObject([{ connection: 'a', code: closeCodes.superseded }])
    hub.step({ type: 'closed', connection: 'a' })
    expect(hub.state().connection?.id).toBe('b')
    hub.hello([aPod()])
    expect(hub.take('load')).toEqual([])
  })

  test('hello is answered by welcome after the rows were read, and then the hub claims', () => {
    const hub = setup()
    hub.connect('a')
    hub.hello([aPod()])
    expect(hub.writes()).toMatchObject([{ kind: 'report' }])
    expect(hub.take('load')).toHaveLength(1)
    expect(hub.take('claim')).toEqual([])
    hub.loaded()
    expect(hub.sent('welcome')).toEqual([{ type: 'welcome', epoch: 7, server_time: start, adopt: [], stop: [] }])
    expect(hub.take('claim')).toMatchObject([
      { claim_id: expect.stringMatching(/^boot\./), slots: [{ pod: 'pod-1', project_id: 'demo' }, {}] },
    ])
  })

  test('an unknown protocol version is refused', () => {
    const hub = setup()
    hub.connect('a')
    hub.hello([aPod()], [], 'a', protocolVersion + 1)
    expect(hub.take('close')).toMatchObject([{ code: closeCodes.unsupportedProtocol }])
    expect(hub.state().connection).toBeNull()
  })

  test('attempts that run are adopted, ones that should not are stopped, and an unconfirmed start is written', () => {
    const hub = setup()
    hub.connect('a')
    hub.hello([aPod()], [presence(1), presence(2), presence(3, 1)])
    hub.loaded(running(1), live(2), live(3, { attempt: 2 }))
    const [welcome] = hub.sent('welcome')
    expect(welcome).toMatchObject({ adopt: [{ ...ref(1), token: 'token-1' }, ref(2)], stop: [ref(3)] })
    expect(hub.writes()).toContainEqual({ kind: 'mark_started', started: [{ ...ref(2), started_at: start }] })
    expect(hub.phases()).toEqual(['01.1 running', '02.1 running', '03.2 assigned'])
  })

  test('a leased attempt that the agent does not have is sent again', () => {
    const hub = setup()
    hub.connect('a')
    hub.hello([aPod()])
    hub.loaded(live(1))
    expect(hub.assigned()).toEqual(['01.1'])
  })

  test('a confirmed attempt that its pod does not have, or whose pod is gone, is lost', () => {
    const hub = setup()
    hub.connect('a')
    hub.hello([aPod()])
    hub.loaded(running(1), running(2, { pod: 'gone' }))
    const ends = () => hub.writes().filter(({ kind }) => kind === 'end')
    expect(ends()).toMatchObject([{ task: { id: aTaskId(1) }, outcome: { status: 'lost', error_code: 'LOST' } }])
    // The pod is missing in the inventory of a new connection: perhaps this agent has not seen it yet.
    hub.pass(podAbsentMs - 1)
    hub.alarm()
    expect(ends()).toEqual([])
    hub.pass(sweepEveryMs)
    hub.alarm()
    expect(ends()).toMatchObject([{ task: { id: aTaskId(2) }, outcome: { status: 'lost' } }])
    expect(hub.assigned()).toEqual([])
    hub.written('end')
    expect(hub.phases()).toEqual([])
  })

  test('a pod that is not ready proves nothing; when it is ready again, the hub asks for hello', () => {
    const hub = setup()
    hub.connect('a')
    hub.hello([aPod({ ready: false })])
    hub.loaded(running(1), live(2))
    expect(hub.phases()).toEqual(['01.1 unknown', '02.1 unknown'])
    expect(hub.writes().filter(({ kind }) => kind !== 'report')).toEqual([])
    hub.forget()
    hub.frame({ type: 'pods', pods: [aPod()] })
    expect(hub.sent('sync')).toHaveLength(1)
    hub.hello([aPod()], [presence(1), presence(2)])
    hub.loaded(running(1), live(2))
    expect(hub.phases()).toEqual(['01.1 running', '02.1 running'])
  })

  test('a leased attempt whose pod is gone goes back to the queue', () => {
    const hub = setup()
    hub.connect('a')
    hub.hello([aPod()])
    hub.loaded(live(1, { pod: 'gone' }))
    expect(hub.writes().filter(({ kind }) => kind === 'requeue')).toEqual([])
    hub.pass(podAbsentMs)
    hub.alarm()
    expect(hub.writes()).toContainEqual({
      kind: 'requeue',
      ref: ref(1),
      run_after: start + podAbsentMs,
      doubted: expect.anything(),
      generation: 1,
    })
  })

  test('frames that came before the rows were read count: finished is not adopted, accepted is not lost', () => {
    const hub = setup()
    hub.connect('a')
    hub.hello([aPod()], [presence(1)])
    hub.frame(finished(1))
    hub.loaded(running(1))
    expect(hub.sent('welcome')).toMatchObject([{ adopt: [], stop: [] }])
    expect(hub.phases()).toEqual([])
  })

  test('a failed read of the rows is repeated, and nothing is claimed meanwhile', () => {
    const hub = setup()
    hub.connect('a')
    hub.hello([aPod()])
    hub.step({ type: 'load_failed', why: 'away' })
    hub.step({ type: 'poke' })
    expect(hub.take('claim')).toEqual([])
    hub.forget()
    hub.pass(1_000)
    hub.alarm()
    expect(hub.take('load')).toHaveLength(1)
    hub.loaded()
    expect(hub.take('claim')).toHaveLength(1)
  })

  test('a hello during a load makes the hub read again', () => {
    const hub = setup()
    hub.connect('a')
    hub.hello([aPod()])
    hub.hello([aPod()], [presence(1)])
    hub.forget()
    hub.loaded()
    expect(hub.take('send')).toEqual([])
    expect(hub.take('load')).toHaveLength(1)
    hub.loaded(running(1))
    expect(hub.sent('welcome')).toMatchObject([{ adopt: [ref(1)] }])
  })

  test('a cancel request goes to the log again', () => {
    const hub = setup()
    hub.connect('a')
    hub.hello([aPod()], [presence(1)])
    hub.loaded(running(1, { cancel_requested_at: 5 }))
    expect(hub.take('sync_logs')).toMatchObject([{ tasks: [{ id: aTaskId(1) }] }])
  })
})

describe('claiming', () => {
  test('a poke claims, and what was claimed is sent at once and told to its log', () => {
    const hub = dispatched()
    expect(hub.take('send')).toMatchObject([{ frame: { type: 'assign', tasks: [{ ...ref(1), token: 'token-1', command: 'true' }] } }])
    expect(hub.take('sync_logs')).toMatchObject([{ tasks: [{ id: aTaskId(1) }] }])
    expect(hub.take('inspect_queue')).toHaveLength(1)
  })

  test('one claim at a time; pokes meanwhile make one more', () => {
    const hub = welcomed()
    for (let i = 0; i < 5; i++) hub.step({ type: 'poke' })
    expect(hub.take('claim')).toHaveLength(1)
    hub.claimed()
    expect(hub.take('claim')).toHaveLength(1)
    hub.claimed()
    expect(hub.take('claim')).toEqual([])
  })

  test('asks for free slots only, and not while none is free', () => {
    const hub = welcomed([aPod(), aPod({ name: 'w', uid: 'w', role: 'worker', project_id: null, slots: 1 })])
    hub.step({ type: 'poke' })
    expect(hub.take('claim')[0]!.slots).toEqual([
      { pod: 'pod-1', pod_uid: 'uid-1', project_id: 'demo' },
      { pod: 'pod-1', pod_uid: 'uid-1', project_id: 'demo' },
      { pod: 'w', pod_uid: 'w', project_id: null },
    ])
    hub.claimed(live(1), live(2), live(3, { pod: 'w' }))
    expect(hub.take('claim')).toEqual([])
    hub.step({ type: 'poke' })
    expect(hub.take('claim')).toEqual([])
    hub.frame(finished(2))
    expect(hub.take('claim')).toMatchObject([{ slots: [{ pod: 'pod-1' }] }])
  })

  test('a claim whose answer was lost is repeated by its id, and nothing is sent twice', () => {
    const hub = welcomed()
    hub.step({ type: 'poke' })
    const [first] = hub.take('claim')
    hub.step({ type: 'claim_failed', claim_id: first!.claim_id, why: 'away' })
    hub.step({ type: 'poke' })
    expect(hub.take('claim')).toEqual([])
    hub.pass(1_000)
    hub.alarm()
    const [again] = hub.take('claim')
    expect(again).toEqual({ ...first, number: expect.any(Number) })
    // The first is void once the second has run, so that it leases nothing that no hub knows of.
    expect(again!.number).toBeGreaterThan(first!.number)
    hub.claimed(live(1))
    expect(hub.assigned()).toEqual(['01.1'])
    hub.step({ type: 'claimed', claim_id: first!.claim_id, tasks: [live(1)] })
    expect(hub.assigned()).toEqual([])
  })

  test('a claim has the generation of the last load', () => {
    const hub = welcomed()
    hub.hello([aPod()])
    hub.loaded()
    expect(hub.take('load')).toEqual([{ type: 'load', generation: 2 }])
    expect(hub.take('claim')).toMatchObject([{ generation: 2 }])
  })

  test('a memory with an older generation than the database takes over before anything is claimed', () => {
    const hub = setup()
    hub.connect('a')
    hub.hello([aPod()])
    expect(hub.take('load')).toEqual([{ type: 'load', generation: 1 }])
    hub.step({ type: 'loaded', generation: 7, live: [] })
    expect(hub.take('claim')).toEqual([])
    expect(hub.take('load')).toEqual([{ type: 'load', generation: 8 }])
    hub.loaded()
    expect(hub.take('claim')).toMatchObject([{ generation: 8 }])
  })

  // Found by the simulator: a load found the attempt, it ran and ended, and the late answer of its claim started it again.
  test('an answer of a claim starts no attempt that is over already', () => {
    const hub = welcomed()
    hub.step({ type: 'poke' })
    hub.hello([aPod()])
    hub.loaded(live(1))
    expect(hub.assigned()).toEqual(['01.1'])
    hub.frame(finished(1))
    hub.forget()
    hub.claimed(live(1), live(2))
    expect(hub.assigned()).toEqual(['02.1'])
  })

  test('an answer that comes when the agent is gone waits for the next hello', () => {
    const hub = welcomed()
    hub.step({ type: 'poke' })
    hub.step({ type: 'closed', connection: 'a' })
    hub.claimed(live(1))
    expect(hub.assigned()).toEqual([])
    hub.connect('b')
    hub.hello([aPod()], [], 'b')
    hub.loaded(live(1))
    expect(hub.assigned()).toEqual(['01.1'])
  })

  test('an answer of a claim during a load is kept', () => {
    const hub = welcomed()
    hub.step({ type: 'poke' })
    hub.hello([aPod()])
    hub.claimed(live(1))
    hub.loaded()
    expect(hub.assigned()).toEqual(['01.1'])
    expect(hub.phases()).toEqual(['01.1 assigned'])
  })

  test('what is queued for later sets the alarm to that time; nothing queued sets none', () => {
    const hub = welcomed()
    expect(hub.state().alarmAt).toBeNull()
    hub.step({ type: 'poke' })
    hub.claimed()
    hub.queueInspected(true, start + 2_000)
    hub.alarm()
    expect(hub.state().alarmAt).toBe(start + 2_000)
    hub.pass(2_000)
    hub.alarm()
    expect(hub.take('claim')).not.toEqual([])
    hub.claimed()
    hub.queueInspected()
    hub.alarm()
    expect(hub.state().alarmAt).toBeNull()
    expect(hub.state().queued).toBe(false)
  })

  test('the log of a task that expired in the queue is synced', () => {
    const hub = welcomed()
    hub.step({ type: 'poke' })
    hub.claimed()
    hub.step({ type: 'queue_inspected', expired: [aTask({ status: 'failed' })], queued: false, next_at: null, missing: null })
    expect(hub.take('sync_logs')).toMatchObject([{ tasks: [{ status: 'failed' }] }])
  })

  test('an end seen by a log lets the next task of its project or session be claimed', () => {
    const hub = dispatched()
    hub.queueInspected(true)
    hub.forget()
    hub.step({ type: 'ended', ref: ref(1) })
    expect(hub.take('claim')).toHaveLength(1)
    expect(hub.phases()).toEqual(['01.1 done'])
  })

  test('a draining agent gets nothing more', () => {
    const hub = welcomed()
    hub.frame({ type: 'drain' })
    hub.step({ type: 'poke' })
    expect(hub.take('claim')).toEqual([])
  })

  test('without an agent only the queue’s own deadlines are watched', () => {
    const hub = setup()
    hub.step({ type: 'poke' })
    expect(hub.take('inspect_queue')).toHaveLength(1)
    hub.queueInspected(true, start + 50_000)
    expect(hub.state().inspectAt).toBe(start + 50_000)
    hub.pass(50_000)
    hub.alarm()
    expect(hub.take('inspect_queue')).toHaveLength(1)
  })
})

describe('what the database refused', () => {
  test('an inventory is not reported again, and nothing of it outlives its socket', () => {
    const hub = setup()
    hub.connect('a')
    hub.hello([aPod()])
    hub.loaded()
    hub.claimed()
    hub.queueInspected()
    hub.fail('report', 'data')
    expect(hub.state().writes.size).toBe(0)
    hub.step({ type: 'closed', connection: 'a' })
    hub.forget()
    hub.pass(86_400_000)
    hub.alarm(null)
    expect(hub.take('write')).toEqual([])
    expect(hub.state().retryAt).toBeNull()
  })

  test('a claim is dropped, the rows are read before the next one, and that is minutes later', () => {
    const hub = welcomed()
    hub.step({ type: 'poke' })
    const [first] = hub.take('claim')
    hub.step({ type: 'claim_failed', claim_id: first!.claim_id, why: 'data' })
    hub.pass(refusedAgainMs - 1)
    hub.alarm()
    expect([hub.take('claim'), hub.take('load')]).toEqual([[], []])
    hub.pass(1)
    hub.alarm()
    expect([hub.take('claim'), hub.take('load').length]).toEqual([[], 1])
    hub.loaded()
    const [next] = hub.take('claim')
    expect(next!.claim_id).not.toBe(first!.claim_id)
  })

  test('without its socket a refused claim leaves nothing behind', () => {
    const hub = welcomed()
    hub.step({ type: 'poke' })
    const [first] = hub.take('claim')
    hub.step({ type: 'closed', connection: 'a' })
    hub.queueInspected()
    hub.step({ type: 'claim_failed', claim_id: first!.claim_id, why: 'statement' })
    hub.pass(refusedAgainMs)
    hub.alarm(null)
    hub.loaded()
    hub.forget()
    expect(hub.state()).toMatchObject({ claim: null, loadWanted: false, retryAt: null, alarmAt: null })
  })

  test('a failure whose words are refused is written without them, and what still is refused waits', () => {
    const hub = dispatched()
    hub.frame(rejected(1, 'binary_missing'))
    hub.forget()
    hub.fail('fail', 'data')
    expect(hub.take('write')).toMatchObject([{ write: { kind: 'fail', outcome: { status: 'failed', error_code: 'BINARY_MISSING' } } }])
    hub.fail('fail', 'data')
    hub.forget()
    hub.pass(refusedAgainMs - 1)
    hub.alarm()
    expect(hub.take('write')).toEqual([])
    hub.pass(1)
    hub.alarm()
    expect(hub.take('write')).toHaveLength(1)
  })

  test('a refusal does not delay what only failed', () => {
    const hub = setup()
    hub.connect('a')
    hub.hello([aPod()])
    hub.step({ type: 'load_failed', why: 'statement' })
    hub.fail('report')
    hub.forget()
    hub.pass(5_000)
    hub.alarm()
    expect(hub.take('write')).toHaveLength(1)
  })
})
