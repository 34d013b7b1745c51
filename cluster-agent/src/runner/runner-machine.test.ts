import { expect, test } from 'vitest'
import type { Assignment, AttemptPresence } from '@rdev/shared/domain/attempt'
import type { Pod } from '@rdev/shared/domain/pod'
import { assignment } from '../testing/setup.ts'
import { attemptsOf, inventoryFor, maxLeftovers, newRunner, stepRunner, type RunnerInput, type RunnerState } from './runner-machine.ts'

const home: Pod = {
  name: 'demo',
  uid: 'u1',
  role: 'project',
  project_id: 'demo',
  ready: true,
  slots: 4,
  providers: [],
  allow_bypass_permissions: false,
}
const shell = (attempt = 1, pod = 'demo', task_id = 'task_01kdvdna0m7b1wdzn9zk6czza6'): Assignment => ({
  ...assignment({ command: 'true', task_id, attempt, pod }),
  token: 'token',
})
const nameOf = ({ task_id, attempt }: Assignment) => `${task_id}.${attempt}`
const presenceOf = ({ task_id, attempt, pod }: Assignment, state: AttemptPresence['state'] = 'running'): AttemptPresence => ({
  task_id,
  attempt,
  pod,
  state,
})

function setup(...pods: Pod[]) {
  let state: RunnerState = newRunner
  const step = (input: RunnerInput) => {
    const next = stepRunner(state, input, { now: 0, random: 0 })
    state = next.state
    return next.effects
  }
  const gathered = (attempts: readonly AttemptPresence[] | undefined, refused: readonly string[] = []) =>
    step({
      type: 'gathered',
      lists: state.pods.map((pod) => ({ pod, found: attempts && { home: `home of ${pod.uid}`, attempts } })),
      refused,
    })
  step({ type: 'pods', pods: pods.length > 0 ? pods : [home] })
  return {
    step,
    gathered,
    assign: (one: Assignment) => step({ type: 'assign', assignment: one, invalid: undefined }),
    types: (input: RunnerInput) => step(input).map(({ type }) => type),
    get state() {
      return state
    },
  }
}

test('an assignment begins one run; its repetition brings it a token', () => {
  const it = setup()
  it.gathered([])
  expect(it.assign(shell()).map(({ type }) => type)).toEqual(['begin', 'touch'])
  expect(it.assign(shell())).toEqual([{ type: 'again', name: nameOf(shell()), token: 'token' }])
})

test('an assignment that cannot run here is refused; one whose attempt is here already is not', () => {
  const it = setup(home, { ...home, name: 'away', ready: false })
  it.gathered([])
  expect(it.assign(shell(4, 'elsewhere'))).toMatchObject([{ type: 'reject', reason: 'no_such_pod' }])
  expect(it.assign(shell(5, 'away'))).toMatchObject([{ type: 'reject', reason: 'pod_not_ready' }])
  expect(it.step({ type: 'assign', assignment: shell(2), invalid: 'odd' })).toMatchObject([
    { type: 'reject', reason: 'invalid', detail: 'odd' },
  ])
  it.step({ type: 'drain' })
  expect(it.assign(shell(3))).toMatchObject([{ type: 'reject', reason: 'draining' }])
  it.gathered([presenceOf(shell())])
  expect(it.assign(shell()).map(({ type }) => type)).toEqual(['begin', 'touch'])
})

test('a later attempt discards the run of an earlier one', () => {
  const it = setup()
  it.gathered([])
  it.assign(shell(1))
  expect(it.assign(shell(2))).toMatchObject([{ type: 'discard', name: nameOf(shell(1)) }, { type: 'begin' }, { type: 'touch' }])
})

test('a pod is asked for a provider once; an assignment for a missing provider is refused', () => {
  const it = setup()
  it.gathered([])
  const agent: Assignment = { ...shell(), kind: 'agent', provider: 'opencode' }
  expect(it.assign(agent)).toMatchObject([{ type: 'ask_provider', provider: 'opencode' }])
  // Found by the simulator: another agent had been sent it, could not ask for the provider, and started what had failed already.
  const [refuse] = it.step({ type: 'provider_asked', assignment: agent, pod: home, has: false })
  expect(refuse).toMatchObject({ type: 'refuse_in_pod', because: { reason: 'binary_missing' } })
  const because = refuse?.type === 'refuse_in_pod' ? refuse.because : undefined
  expect(it.step({ type: 'refused_in_pod', assignment: agent, pod: home, there: false, because })).toMatchObject([
    { type: 'reject', reason: 'binary_missing' },
  ])
  it.step({ type: 'provider_found', pod: home, provider: 'opencode' })
  expect(it.assign({ ...agent, attempt: 2 })).toMatchObject([{ type: 'begin' }, { type: 'touch' }])
})

test('an attempt that the hub does not want is cleared in its pod, once', () => {
  const it = setup()
  it.gathered([presenceOf(shell())])
  const ref = { task_id: shell().task_id, attempt: 1 }
  expect(it.step({ type: 'stop', ref })).toEqual([{ type: 'clear', ref, pod: 'demo' }])
  expect(it.step({ type: 'stop', ref })).toEqual([])
  expect(it.step({ type: 'cleared', ref })).toEqual([{ type: 'finished', ref }])
})

// Found by the simulator: the hub took an attempt of a silent pod for lost, while it ran.
test('a pod that does not answer is told as not ready, so that the hub concludes nothing about its attempts', () => {
  const it = setup()
  expect(inventoryFor(it.state)).toMatchObject([{ ...home, ready: false }])
  it.gathered([])
  expect(inventoryFor(it.state)).toEqual([home])
  expect(it.gathered(undefined)).toEqual([{ type: 'gather_again', pods: ['demo'] }])
  expect(inventoryFor(it.state)).toMatchObject([{ ...home, ready: false }])
})

// Found by the simulator: another agent had finished and removed the attempt, and its run stayed here for ever.
test('a run that its log refused, and whose pod has no directory of it any more, is missing', () => {
  const it = setup()
  it.gathered([])
  it.assign(shell())
  expect(it.gathered([], [])).toEqual([])
  expect(it.gathered(undefined, [nameOf(shell())])).toEqual([{ type: 'gather_again', pods: ['demo'] }])
  expect(it.gathered([presenceOf(shell())], [nameOf(shell())])).toEqual([{ type: 'touch' }])
  expect(it.gathered([], [nameOf(shell())])).toEqual([{ type: 'missing', name: nameOf(shell()) }])
})

// Found by the simulator: the command that started the run had reached a later pod of the same name.
test('a run is not gone while a later pod has the name of its pod', () => {
  const it = setup()
  it.gathered([])
  it.assign(shell())
  expect(it.step({ type: 'pods', pods: [{ ...home, uid: 'u2' }] })).toEqual([])
  expect(it.step({ type: 'pods', pods: [] })).toEqual([{ type: 'pod_gone', name: nameOf(shell()) }])
})

// Found by the simulator: the hub gave a refused attempt back to the queue, and its repeated assignment started it.
test('an assignment that was refused once is refused for ever, whether by the runner or by its run', () => {
  const it = setup(home, { ...home, name: 'away', ready: false })
  it.gathered([])
  it.assign(shell(1, 'away'))
  it.step({ type: 'pods', pods: [home, { ...home, name: 'away' }] })
  expect(it.assign(shell(1, 'away'))).toMatchObject([{ type: 'refuse_in_pod' }])
  it.assign(shell(2))
  const ref = { task_id: shell().task_id, attempt: 2 }
  expect(it.step({ type: 'refused', ref, reason: 'start_failed', detail: 'full' })).toMatchObject([
    { type: 'reject', ref, reason: 'start_failed' },
  ])
  it.step({ type: 'forgotten', name: nameOf(shell(2)) })
  expect(it.assign(shell(2))).toMatchObject([{ type: 'reject', reason: 'start_failed', detail: 'full' }])
  expect(it.assign(shell(3)).map(({ type }) => type)).toEqual(['begin', 'touch'])
})

test('a process may start only in the home that its pod was found with, also if a later pod has the name', () => {
  const it = setup()
  expect(it.assign(shell(1))).toMatchObject([{ type: 'reject', reason: 'pod_not_ready' }])
  it.gathered([])
  expect(it.assign(shell(2))).toMatchObject([{ type: 'begin', home: 'home of u1' }, { type: 'touch' }])
  it.step({ type: 'pods', pods: [{ ...home, uid: 'u2' }] })
  expect(it.assign(shell(3))).toMatchObject([{ type: 'reject', reason: 'pod_not_ready' }])
  it.gathered(undefined)
  expect(it.assign(shell(4))).toMatchObject([{ type: 'reject', reason: 'pod_not_ready' }])
  it.gathered([])
  // Found by the simulator: the assignment was on its way while the pod was replaced, and the attempt had run in the earlier pod.
  expect(it.assign({ ...shell(5), pod_uid: 'u1' })).toMatchObject([{ type: 'reject', reason: 'no_such_pod' }])
  expect(it.assign({ ...shell(6), pod_uid: 'u2' })).toMatchObject([
    { type: 'discard' },
    { type: 'begin', home: 'home of u2' },
    { type: 'touch' },
  ])
})

// Found by the simulator: the hub had sent the assignment to another agent too, and that agent's start succeeded.
test('an assignment that was refused and is sent again is refused by its pod, or adopted if it started there meanwhile', () => {
  const away = { ...home, name: 'away', ready: false }
  const it = setup(home, away)
  it.gathered([])
  const assignment = shell(1, 'away')
  expect(it.assign(assignment)).toMatchObject([{ type: 'reject', reason: 'pod_not_ready' }])
  expect(it.assign(assignment)).toMatchObject([{ type: 'reject', reason: 'pod_not_ready' }])
  const pod = { ...away, ready: true }
  it.step({ type: 'pods', pods: [home, pod] })
  expect(it.assign(assignment)).toEqual([{ type: 'refuse_in_pod', assignment, pod }])
  expect(it.step({ type: 'refused_in_pod', assignment, pod, there: false })).toMatchObject([{ type: 'reject', reason: 'start_failed' }])
  expect(it.step({ type: 'refused_in_pod', assignment, pod, there: true })).toMatchObject([
    { type: 'begin', adopted: true, home: undefined },
    { type: 'touch' },
  ])
  expect(it.step({ type: 'refused_in_pod', assignment, pod, there: false })).toEqual([])
})

// Found by the simulator: the inventory was late, so the home of a later pod was taken for that of the earlier one.
test('a pod that answers with another home counts as not listed, until it has done so for a while', () => {
  const it = setup()
  const answer = (name: string) =>
    it.step({ type: 'gathered', lists: [{ pod: home, found: { home: name, attempts: [presenceOf(shell())] } }], refused: [] })
  answer('a')
  expect(inventoryFor(it.state)).toMatchObject([{ ready: true }])
  for (let i = 0; i < 4; i++) {
    expect(answer('b')).toMatchObject([{ type: 'gather_again' }])
    expect(inventoryFor(it.state)).toMatchObject([{ ready: false }])
  }
  answer('b')
  expect(inventoryFor(it.state)).toMatchObject([{ ready: true }])
  // A home without an id, for lack of room, says nothing.
  answer('-')
  expect(inventoryFor(it.state)).toMatchObject([{ ready: true }])
  expect(it.assign(shell())).toMatchObject([{ type: 'begin', home: 'b' }, { type: 'touch' }])
})

test('a pod with more directories than it can have tells a part of them, its runs first, and is not ready until the others are gone', () => {
  const other: Pod = { ...home, name: 'other', uid: 'u2', project_id: 'other' }
  const it = setup(home, other)
  it.gathered([])
  const run = shell(999_999)
  it.assign(run)
  const made = Array.from({ length: 10_000 }, (_, i) => presenceOf(shell(i + 1), 'broken'))
  const list = (attempts: readonly AttemptPresence[]) => [
    { pod: home, found: { home: 'home of u1', attempts } },
    { pod: other, found: { home: 'home of u2', attempts: [] } },
  ]
  const lists = list([...made, presenceOf(run)])
  const effects = it.step({ type: 'gathered', lists, refused: [nameOf(run)] })
  expect(effects).toEqual([
    { type: 'overfull', pod: 'demo', attempts: 10_001 },
    { type: 'gather_again', pods: ['demo'] },
    { type: 'touch' },
  ])
  expect(inventoryFor(it.state).map(({ name, ready }) => [name, ready])).toEqual([
    ['demo', false],
    ['other', true],
  ])
  const told = attemptsOf(it.state, lists)
  expect(told).toHaveLength(home.slots + maxLeftovers)
  expect(told[0]).toEqual(presenceOf(run))
  // The hub knows none of the others, so it has them stopped; each is removed.
  expect(it.step({ type: 'stop', ref: told[1]! })).toMatchObject([{ type: 'clear', pod: 'demo' }])

  const rest = list([...made.slice(0, home.slots + maxLeftovers - 1), presenceOf(run)])
  expect(it.step({ type: 'gathered', lists: rest, refused: [] })).toEqual([{ type: 'touch' }])
  expect(inventoryFor(it.state).map(({ ready }) => ready)).toEqual([true, true])
  expect(attemptsOf(it.state, rest)).toHaveLength(home.slots + maxLeftovers)
})

test('a pod that is not ready says why, where this agent knows', () => {
  const said = (it: ReturnType<typeof setup>) => inventoryFor(it.state).map(({ ready, detail }) => [ready, detail])
  const it = setup(home, { ...home, name: 'away', uid: 'u2', ready: false })
  const list = (found: { home: string; attempts: readonly AttemptPresence[] } | undefined) =>
    it.step({ type: 'gathered', lists: it.state.pods.map((pod) => ({ pod, found })), refused: [] })
  expect(said(it)).toEqual([
    [false, 'its attempts have not been listed yet'],
    [false, 'its cluster tells it as not ready'],
  ])
  list(undefined)
  expect(said(it)).toEqual([
    [false, 'it did not answer when its attempts were listed'],
    [false, 'its cluster tells it as not ready'],
  ])
  const many = Array.from({ length: 10_000 }, (_, i) => presenceOf(shell(i + 1)))
  list({ home: 'a', attempts: many })
  expect(said(it).map(([, detail]) => detail)).toEqual(
    Array(2).fill('it has 10000 attempt directories, more than the 204 that rdev can have made'),
  )
  list({ home: 'a', attempts: [] })
  expect(said(it)).toEqual([
    [true, undefined],
    [false, 'its cluster tells it as not ready'],
  ])
  list({ home: 'b', attempts: [] })
  expect(said(it)[0]).toEqual([false, 'its home changed: another pod may have its name by now'])
  // Another pod of the name has its own reasons.
  it.step({ type: 'pods', pods: [{ ...home, uid: 'u3' }] })
  expect(said(it)).toEqual([[false, 'its attempts have not been listed yet']])
})
