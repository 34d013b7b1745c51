// What tests of the hub's machine start from: a hub to step, and the frames that an agent would send.
import type { AttemptPresence } from '@rdev/shared/domain/attempt'
import type { Failure } from '@rdev/shared/domain/failure'
import type { Pod } from '@rdev/shared/domain/pod'
import type { Task } from '@rdev/shared/domain/task'
import type { HubUp } from '@rdev/shared/wire/hub-frames'
import { stepHub } from './machine.ts'
import { initialHub, newMemory, type ConnectionKey, type Dispatch, type HubEffect, type HubInput, type HubState } from './state.ts'
import { aPod, aTask, aTaskId } from '../machine-fixtures.ts'

export const start = 1_000_000

export function setup(state: HubState = initialHub('boot', { ...newMemory, epoch: 6 })) {
  let now = start
  let effects: HubEffect[] = []
  /** `random` is 0 unless a test gives it. */
  const step = (input: HubInput, random = 0) => {
    const done = stepHub(state, input, { now, random })
    state = done.state
    effects.push(...done.effects)
  }
  const take = <Type extends HubEffect['type']>(type: Type) => {
    const found = effects.filter((effect): effect is Extract<HubEffect, { type: Type }> => effect.type === type)
    effects = effects.filter((effect) => effect.type !== type)
    return found
  }
  const frame = (frame: HubUp, connection = 'a', random = 0) => step({ type: 'frame', connection, frame }, random)
  const hello = (pods: readonly Pod[], attempts: readonly AttemptPresence[] = [], connection = 'a', protocol = 1) =>
    frame(
      { type: 'hello', protocol, agent_version: '1', instance: 'instance', agent_time: 0, pods: [...pods], attempts: [...attempts] },
      connection,
    )
  const connect = (connection: string, change: Partial<ConnectionKey> = {}) =>
    step({ type: 'connected', connection, key: { id: 'key_home', expires_at: null, ...change } })
  const loaded = (...live: Dispatch[]) => step({ type: 'loaded', generation: state.durable.generation, live })
  const claimed = (...tasks: Dispatch[]) => step({ type: 'claimed', claim_id: state.claim!.claim_id, tasks })
  const queueInspected = (queued = false, next_at: number | null = null, missing: readonly string[] | null = null) =>
    step({ type: 'queue_inspected', expired: [], queued, next_at, missing })
  /** Answers every write of a kind; with these rows. */
  const written = (kind: string, ...tasks: Task[]) => {
    for (const [id, { write, busy }] of state.writes) if (busy && write.kind === kind) step({ type: 'written', id, tasks })
  }
  const fail = (kind: string, why: Failure = 'away') => {
    for (const [id, { write, busy }] of state.writes) if (busy && write.kind === kind) step({ type: 'write_failed', id, why })
  }
  return {
    step,
    take,
    frame,
    hello,
    connect,
    loaded,
    claimed,
    queueInspected,
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

/** A hub with an agent that was welcomed a while ago, and nothing queued. */
export function welcomed(pods: readonly Pod[] = [aPod()], attempts: readonly AttemptPresence[] = [], ...live: Dispatch[]) {
  const hub = setup()
  hub.connect('a')
  hub.hello(pods, attempts)
  hub.loaded(...live)
  if (hub.state().claim !== null) {
    hub.claimed()
    hub.queueInspected()
  }
  hub.written('report')
  return setup({ ...hub.state(), alarmAt: null })
}

export const live = (n: number, change: Partial<Task> = {}): Dispatch => ({
  task: aTask({ id: aTaskId(n), status: 'leased', attempt: 1, pod: 'pod-1', pod_uid: 'uid-1', lease_until: start + 60_000, ...change }),
  provider_session_id: null,
  token: `token-${n}`,
})
export const running = (n: number, change: Partial<Task> = {}) => live(n, { status: 'running', ...change })
export const presence = (n: number, attempt = 1): AttemptPresence => ({ task_id: aTaskId(n), attempt, pod: 'pod-1', state: 'running' })
export const ref = (n: number, attempt = 1) => ({ task_id: aTaskId(n), attempt })
export const accepted = (n: number, attempt = 1): HubUp => ({ type: 'accepted', attempts: [{ ...ref(n, attempt), started_at: 5 }] })
export const finished = (n: number): HubUp => ({ type: 'finished', attempts: [ref(n)] })
export const rejected = (
  n: number,
  reason: 'no_free_slot' | 'floor' | 'workspace_busy' | 'draining' | 'binary_missing' | 'start_failed' | 'pod_not_ready',
  attempt = 1,
): HubUp => ({
  type: 'rejected',
  attempts: [{ ...ref(n, attempt), reason }],
})

/** One task claimed and sent. */
export function dispatched(...tasks: Dispatch[]) {
  const hub = welcomed()
  hub.step({ type: 'poke' })
  hub.claimed(...(tasks.length > 0 ? tasks : [live(1)]))
  return hub
}
