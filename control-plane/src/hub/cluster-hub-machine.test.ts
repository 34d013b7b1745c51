import type { AttemptPresence } from '@rdev/shared/domain/attempt'
import type { Pod } from '@rdev/shared/domain/pod'
import type { Task } from '@rdev/shared/domain/task'
import type { HubUp } from '@rdev/shared/wire/hub-frames'
import { closeCodes } from '@rdev/shared/wire/limits'
import { describe, expect, test } from 'vitest'
import { stepHub } from './cluster-hub-machine.ts'
import { initialHub, orphanMs, type Dispatch, type HubEffect, type HubInput, type HubState } from './cluster-hub-state.ts'
import { aPod, aSpec, aTask, aTaskId } from './machine-fixtures.ts'

const start = 1_000_000

function setup(state: HubState = initialHub('boot', 6)) {
  let now = start
  let effects: HubEffect[] = []
  const step = (input: HubInput) => {
    const done = stepHub(state, input, now)
    state = done.state
    effects.push(...done.effects)
  }
  const take = <Type extends HubEffect['type']>(type: Type) => {
    const found = effects.filter((effect): effect is Extract<HubEffect, { type: Type }> => effect.type === type)
    effects = effects.filter((effect) => effect.type !== type)
    return found
  }
  const frame = (frame: HubUp, connection = 'a', random = 0) => step({ type: 'frame', connection, frame, random })
  const hello = (pods: readonly Pod[], attempts: readonly AttemptPresence[] = [], connection = 'a', protocol = 1) =>
    frame(
      { type: 'hello', protocol, agent_version: '1', instance: 'instance', agent_time: 0, pods: [...pods], attempts: [...attempts] },
      connection,
    )
  const loaded = (...live: Dispatch[]) => step({ type: 'loaded', live, random: 0 })
  const claimed = (...tasks: Dispatch[]) => step({ type: 'claimed', claim_id: state.claim!.claim_id, tasks })
  const surveyed = (queued = 0, next_at: number | null = null) => step({ type: 'surveyed', expired: [], queued, next_at })
  /** Answers every write of a kind; with these rows. */
  const written = (kind: string, ...tasks: Task[]) => {
    for (const [id, { write, busy }] of state.writes) if (busy && write.kind === kind) step({ type: 'written', id, tasks })
  }
  const fail = (kind: string) => {
    for (const [id, { write, busy }] of state.writes) if (busy && write.kind === kind) step({ type: 'write_failed', id, random: 0 })
  }
  return {
    step,
    take,
    frame,
    hello,
    loaded,
    claimed,
    surveyed,
    written,
    fail,
    state: () => state,
    forget: () => void (effects = []),
    pass: (ms: number) => void (now += ms),
    alarm: (silentMs: number | null = 0) => step({ type: 'alarm', silentMs }),
    sent: <Type extends string>(type: Type) => {
      const frames = take('send').map(({ frame }) => frame)
      return frames.filter((each) => each.type === type)
    },
    writes: () => take('write').map(({ write }) => write),
    assigned: () =>
      take('send').flatMap(({ frame }) =>
        frame.type === 'assign' ? frame.tasks.map(({ task_id, attempt }) => `${task_id.slice(-2)}.${attempt}`) : [],
      ),
    phases: () => [...state.live.values()].map(({ task, phase }) => `${task.id.slice(-2)}.${task.attempt} ${phase}`),
  }
}

/** A hub with an agent that was welcomed, and nothing queued. */
function welcomed(pods: readonly Pod[] = [aPod()], attempts: readonly AttemptPresence[] = [], ...live: Dispatch[]) {
  const hub = setup()
  hub.step({ type: 'connected', connection: 'a' })
  hub.hello(pods, attempts)
  hub.loaded(...live)
  if (hub.state().claim !== null) {
    hub.claimed()
    hub.surveyed()
  }
  hub.written('report')
  hub.forget()
  return hub
}

const live = (n: number, change: Partial<Task> = {}): Dispatch => ({
  task: aTask({ id: aTaskId(n), status: 'leased', attempt: 1, pod: 'pod-1', lease_until: start + 60_000, ...change }),
  provider_session_id: null,
  token: `token-${n}`,
})
const running = (n: number, change: Partial<Task> = {}) => live(n, { status: 'running', ...change })
const presence = (n: number, attempt = 1): AttemptPresence => ({ task_id: aTaskId(n), attempt, pod: 'pod-1', state: 'running' })
const ref = (n: number, attempt = 1) => ({ task_id: aTaskId(n), attempt })
const accepted = (n: number, attempt = 1): HubUp => ({ type: 'accepted', attempts: [{ ...ref(n, attempt), started_at: 5 }] })
const finished = (n: number): HubUp => ({ type: 'finished', attempts: [ref(n)] })
const rejected = (
  n: number,
  reason: 'no_free_slot' | 'floor' | 'draining' | 'binary_missing' | 'start_failed' | 'pod_not_ready',
  attempt = 1,
): HubUp => ({
  type: 'rejected',
  attempts: [{ ...ref(n, attempt), reason }],
})

/** One task claimed and sent. */
function dispatched(...tasks: Dispatch[]) {
  const hub = welcomed()
  hub.step({ type: 'poke' })
  hub.claimed(...(tasks.length > 0 ? tasks : [live(1)]))
  return hub
}

describe('connecting', () => {
  test('each connection gets a higher epoch, and closes the one before it', () => {
    const hub = setup()
    hub.step({ type: 'connected', connection: 'a' })
    expect(hub.state().durable.epoch).toBe(7)
    hub.step({ type: 'connected', connection: 'b' })
    expect(hub.state().durable.epoch).toBe(8)
    expect(hub.take('close')).toMatchObject([{ connection: 'a', code: closeCodes.superseded }])
    hub.step({ type: 'closed', connection: 'a' })
    expect(hub.state().connection?.id).toBe('b')
    hub.hello([aPod()])
    expect(hub.take('load')).toEqual([])
  })

  test('hello is answered by welcome after the rows were read, and then work is asked for', () => {
    const hub = setup()
    hub.step({ type: 'connected', connection: 'a' })
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

  test('a protocol that is not spoken is refused', () => {
    const hub = setup()
    hub.step({ type: 'connected', connection: 'a' })
    hub.hello([aPod()], [], 'a', 2)
    expect(hub.take('close')).toMatchObject([{ code: closeCodes.unsupportedProtocol }])
    expect(hub.state().connection).toBeNull()
  })

  test('attempts that run are adopted, ones that should not are stopped, and an unconfirmed start is written', () => {
    const hub = setup()
    hub.step({ type: 'connected', connection: 'a' })
    hub.hello([aPod()], [presence(1), presence(2), presence(3, 1)])
    hub.loaded(running(1), live(2), live(3, { attempt: 2 }))
    const [welcome] = hub.sent('welcome')
    expect(welcome).toMatchObject({ adopt: [{ ...ref(1), token: 'token-1' }, ref(2)], stop: [ref(3)] })
    expect(hub.writes()).toContainEqual({ kind: 'mark_started', started: [{ ...ref(2), started_at: start }] })
    expect(hub.phases()).toEqual(['01.1 running', '02.1 running', '03.2 assigned'])
  })

  test('a leased attempt that the agent does not have is sent again', () => {
    const hub = setup()
    hub.step({ type: 'connected', connection: 'a' })
    hub.hello([aPod()])
    hub.loaded(live(1))
    expect(hub.assigned()).toEqual(['01.1'])
  })

  test('a confirmed attempt that its pod knows nothing of, or whose pod is gone, is lost', () => {
    const hub = setup()
    hub.step({ type: 'connected', connection: 'a' })
    hub.hello([aPod()])
    hub.loaded(running(1), running(2, { pod: 'gone' }))
    expect(hub.writes().filter(({ kind }) => kind === 'end')).toMatchObject([
      { task: { id: aTaskId(1) }, outcome: { status: 'lost', error_code: 'LOST' } },
      { task: { id: aTaskId(2) }, outcome: { status: 'lost' } },
    ])
    expect(hub.assigned()).toEqual([])
    hub.written('end')
    expect(hub.phases()).toEqual([])
  })

  test('a pod that cannot be looked into proves nothing; when it is ready again, hello is asked for', () => {
    const hub = setup()
    hub.step({ type: 'connected', connection: 'a' })
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
    hub.step({ type: 'connected', connection: 'a' })
    hub.hello([aPod()])
    hub.loaded(live(1, { pod: 'gone' }))
    expect(hub.writes()).toContainEqual({ kind: 'requeue', ref: ref(1), run_after: start })
  })

  test('what was said before the rows were read counts: finished is not adopted, accepted is not lost', () => {
    const hub = setup()
    hub.step({ type: 'connected', connection: 'a' })
    hub.hello([aPod()], [presence(1)])
    hub.frame(finished(1))
    hub.loaded(running(1))
    expect(hub.sent('welcome')).toMatchObject([{ adopt: [], stop: [] }])
    expect(hub.phases()).toEqual([])
  })

  test('rows that cannot be read are asked for again, and nothing is claimed meanwhile', () => {
    const hub = setup()
    hub.step({ type: 'connected', connection: 'a' })
    hub.hello([aPod()])
    hub.step({ type: 'load_failed', random: 0 })
    hub.step({ type: 'poke' })
    expect(hub.take('claim')).toEqual([])
    hub.forget()
    hub.pass(1_000)
    hub.alarm()
    expect(hub.take('load')).toHaveLength(1)
    hub.loaded()
    expect(hub.take('claim')).toHaveLength(1)
  })

  test('a hello during a load makes it read again', () => {
    const hub = setup()
    hub.step({ type: 'connected', connection: 'a' })
    hub.hello([aPod()])
    hub.hello([aPod()], [presence(1)])
    hub.forget()
    hub.loaded()
    expect(hub.take('send')).toEqual([])
    expect(hub.take('load')).toHaveLength(1)
    hub.loaded(running(1))
    expect(hub.sent('welcome')).toMatchObject([{ adopt: [ref(1)] }])
  })

  test('a wish to cancel goes to the log again', () => {
    const hub = setup()
    hub.step({ type: 'connected', connection: 'a' })
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
    expect(hub.take('survey')).toHaveLength(1)
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

  test('asks for free places only, and not while none is free', () => {
    const hub = welcomed([aPod(), aPod({ name: 'w', uid: 'w', role: 'worker', project_id: null, slots: 1 })])
    hub.step({ type: 'poke' })
    expect(hub.take('claim')[0]!.slots).toEqual([
      { pod: 'pod-1', project_id: 'demo' },
      { pod: 'pod-1', project_id: 'demo' },
      { pod: 'w', project_id: null },
    ])
    hub.claimed(live(1), live(2), live(3, { pod: 'w' }))
    expect(hub.take('claim')).toEqual([])
    hub.step({ type: 'poke' })
    expect(hub.take('claim')).toEqual([])
    hub.frame(finished(2))
    expect(hub.take('claim')).toMatchObject([{ slots: [{ pod: 'pod-1' }] }])
  })

  test('a lost answer is asked for again by the same id, and work is not sent twice', () => {
    const hub = welcomed()
    hub.step({ type: 'poke' })
    const [first] = hub.take('claim')
    hub.step({ type: 'claim_failed', claim_id: first!.claim_id, random: 0 })
    hub.step({ type: 'poke' })
    expect(hub.take('claim')).toEqual([])
    hub.pass(1_000)
    hub.alarm()
    expect(hub.take('claim')).toEqual([first])
    hub.claimed(live(1))
    expect(hub.assigned()).toEqual(['01.1'])
    hub.step({ type: 'claimed', claim_id: first!.claim_id, tasks: [live(1)] })
    expect(hub.assigned()).toEqual([])
  })

  test('an answer that comes when the agent is gone waits for the next hello', () => {
    const hub = welcomed()
    hub.step({ type: 'poke' })
    hub.step({ type: 'closed', connection: 'a' })
    hub.claimed(live(1))
    expect(hub.assigned()).toEqual([])
    hub.step({ type: 'connected', connection: 'b' })
    hub.hello([aPod()], [], 'b')
    hub.loaded(live(1))
    expect(hub.assigned()).toEqual(['01.1'])
  })

  test('an answer that crosses a reading of the rows is kept', () => {
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
    hub.surveyed(1, start + 2_000)
    hub.alarm()
    expect(hub.state().alarmAt).toBe(start + 2_000)
    hub.pass(2_000)
    hub.alarm()
    expect(hub.take('claim')).not.toEqual([])
    hub.claimed()
    hub.surveyed()
    hub.alarm()
    expect(hub.state().alarmAt).toBeNull()
    expect(hub.state().queued).toBe(false)
  })

  test('what waited too long is told to its log', () => {
    const hub = welcomed()
    hub.step({ type: 'poke' })
    hub.claimed()
    hub.step({ type: 'surveyed', expired: [aTask({ status: 'failed' })], queued: 0, next_at: null })
    expect(hub.take('sync_logs')).toMatchObject([{ tasks: [{ status: 'failed' }] }])
  })

  test('an end seen by a log lets the next task of its project or session be claimed', () => {
    const hub = dispatched()
    hub.surveyed(1)
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
    expect(hub.take('survey')).toHaveLength(1)
    hub.surveyed(3, start + 50_000)
    expect(hub.state().surveyAt).toBe(start + 50_000)
    hub.pass(50_000)
    hub.alarm()
    expect(hub.take('survey')).toHaveLength(1)
  })
})

describe('attempts', () => {
  test('accepted is written once, however often it is said', () => {
    const hub = dispatched()
    hub.forget()
    hub.frame(accepted(1))
    hub.frame(accepted(1))
    expect(hub.writes()).toEqual([{ kind: 'mark_started', started: [{ ...ref(1), started_at: 5 }] }])
  })

  test('an accepted attempt that should not be makes the hub ask for hello', () => {
    const hub = welcomed()
    hub.frame(accepted(9))
    expect(hub.sent('sync')).toHaveLength(1)
    hub.hello([aPod()], [presence(9)])
    hub.loaded()
    expect(hub.sent('welcome')).toMatchObject([{ stop: [ref(9)] }])
  })

  test('rejected goes back to the queue after a jittered wait, and is claimed again', () => {
    const hub = dispatched()
    hub.surveyed()
    hub.forget()
    hub.frame(rejected(1, 'no_free_slot'), 'a', 0.5)
    expect(hub.writes()).toEqual([{ kind: 'requeue', ref: ref(1), run_after: start + 500 }])
    expect(hub.phases()).toEqual(['01.1 leaving'])
    hub.frame(rejected(1, 'no_free_slot'))
    expect(hub.writes()).toEqual([])
    hub.written('requeue', aTask({ attempt: 1 }))
    expect(hub.phases()).toEqual([])
    expect(hub.take('sync_logs')).toMatchObject([{ tasks: [{ status: 'queued', attempt: 1 }] }])
    expect(hub.take('claim')).toHaveLength(1)
  })

  test('five failed dispatches are a failure; a draining agent’s do not count', () => {
    const hub = dispatched(live(1, { attempt: 5 }), live(2, { attempt: 5 }))
    hub.forget()
    hub.frame(rejected(1, 'start_failed', 5))
    hub.frame(rejected(2, 'draining', 5))
    expect(hub.writes()).toMatchObject([
      { kind: 'end', outcome: { status: 'failed', error_code: 'POD_UNAVAILABLE' } },
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
    expect(hub.writes()).toMatchObject([{ kind: 'end', outcome: { status: 'failed', error_code: 'BINARY_MISSING' } }])
  })

  test('a floor says of an attempt that was sent before that it was there: lost, not run again', () => {
    const hub = setup()
    hub.step({ type: 'connected', connection: 'a' })
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

  test('what is being given back is neither sent nor adopted by a hello meanwhile', () => {
    const hub = dispatched()
    hub.frame(rejected(1, 'no_free_slot'))
    hub.step({ type: 'connected', connection: 'b' })
    hub.forget()
    hub.hello([aPod()], [], 'b')
    hub.loaded(live(1))
    expect(hub.assigned()).toEqual([])
    hub.written('requeue', aTask({ attempt: 1 }))
    expect(hub.phases()).toEqual([])
  })

  test('a hello that was written before an assignment does not make it lost', () => {
    const hub = dispatched()
    hub.frame(accepted(1))
    hub.forget()
    hub.hello([aPod()])
    hub.loaded(running(1))
    expect(hub.writes().filter(({ kind }) => kind === 'end')).toEqual([])
    expect(hub.phases()).toEqual(['01.1 running'])
  })

  test('a write that failed is repeated until it was done', () => {
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

  test('a pod that is gone, or was replaced under its name, takes its running attempts with it', () => {
    for (const pods of [[], [aPod({ uid: 'uid-2' })]]) {
      const hub = dispatched()
      hub.frame(accepted(1))
      hub.forget()
      hub.frame({ type: 'pods', pods })
      expect(hub.writes().filter(({ kind }) => kind === 'end')).toMatchObject([{ outcome: { status: 'lost' } }])
    }
  })

  test('a task that somebody cancelled is not put back into the queue for good', () => {
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
    hub.surveyed()
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
    hub.step({ type: 'connected', connection: 'a' })
    hub.pass(20_000)
    hub.alarm(0)
    expect(hub.take('close')).toHaveLength(1)
  })

  test('an attempt whose row ended but of which the agent says nothing makes the hub ask', () => {
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
    hub.surveyed()
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
  test('with a socket asks for hello, and knows everything again', () => {
    const hub = setup()
    hub.step({ type: 'woke', connection: { id: 'a', epoch: 6 } })
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

  test('by its alarm leaves that alarm alone, and renews leases when it knows them again', () => {
    const hub = setup()
    hub.step({ type: 'woke', connection: { id: 'a', epoch: 6 } })
    expect(hub.take('alarm')).toEqual([])
    hub.alarm(1_000)
    expect(hub.take('alarm')).toEqual([{ type: 'alarm', at: start + 20_000 }])
    hub.hello([aPod()], [presence(1), presence(2)])
    hub.loaded(running(1, { lease_until: start + 39_000 }), running(2, { lease_until: start + 59_000 }))
    expect(hub.take('renew')).toEqual([{ type: 'renew', refs: [ref(1)] }])
  })

  test('by its alarm drops a socket that has died meanwhile', () => {
    const hub = setup()
    hub.step({ type: 'woke', connection: { id: 'a', epoch: 6 } })
    hub.alarm(46_000)
    expect(hub.take('close')).toMatchObject([{ connection: 'a' }])
  })

  test('without a socket asks nothing, until its alarm comes', () => {
    const hub = setup()
    hub.step({ type: 'woke', connection: null })
    expect(hub.take('load')).toEqual([])
    hub.alarm(null)
    expect([hub.take('load'), hub.take('survey')]).toMatchObject([[{}], [{}]])
    hub.loaded()
    hub.surveyed()
    expect(hub.state().alarmAt).toBeNull()
  })

  test('heartbeats are answered', () => {
    const hub = welcomed()
    hub.frame({ type: 'heartbeat', agent_time: 0, attempts: [] })
    expect(hub.sent('alive')).toEqual([{ type: 'alive', server_time: start }])
  })
})
