import { expect, test } from 'vitest'
import type { Resource } from '@rdev/shared/domain/resource'
import { newResources, stepResources, type ResourcesEffect, type ResourcesInput, type ResourcesState } from './resources-machine.ts'

const pool = (size: number, name = 'main'): Resource => ({ kind: 'pool', name, spec: { size } })

function setup(kinds: readonly string[] = ['pool']) {
  let state: ResourcesState = newResources(kinds)
  const feed = (input: ResourcesInput): readonly ResourcesEffect[] => {
    const step = stepResources(state, input, { now: 0, random: 0.5 })
    state = step.state
    return step.effects
  }
  return {
    feed,
    desired: (version: number, ...resources: Resource[]) => feed({ type: 'desired', desired: { version, resources } }),
    operated: (error?: string, key = 'pool/main') => feed({ type: 'operated', key, error }),
  }
}
/** `apply main 2`, `remove main`, `list pool`, `in 2000`. */
const deeds = (effects: readonly ResourcesEffect[]) =>
  effects.flatMap((effect) => {
    if (effect.type === 'apply') return [`apply ${effect.resource.name} ${String(effect.resource.spec['size'])}`]
    if (effect.type === 'remove') return [`remove ${effect.name}`]
    if (effect.type === 'list') return [`list ${effect.kind}`]
    return effect.type === 'timer' ? [`in ${effect.inMs}`] : []
  })
const told = (effects: readonly ResourcesEffect[]) => {
  const [report] = effects.flatMap((effect) => (effect.type === 'report' ? [effect.observed] : []))
  return report && { version: report.version, states: report.resources.map(({ name, state }) => `${name} ${state}`) }
}

test('the desired set is applied, and the whole set reported: pending, then ready', () => {
  const it = setup()
  const first = it.desired(1, pool(2))
  expect(deeds(first)).toEqual(['list pool', 'apply main 2'])
  expect(told(first)).toEqual({ version: 1, states: ['main pending'] })
  const done = it.operated()
  expect(deeds(done)).toEqual([])
  expect(told(done)).toEqual({ version: 1, states: ['main ready'] })
})

test('the same set again changes nothing, and is reported again', () => {
  const it = setup()
  it.desired(1, pool(2))
  it.operated()
  const again = it.desired(1, pool(2))
  expect(deeds(again)).toEqual([])
  expect(told(again)).toEqual({ version: 1, states: ['main ready'] })
})

test('a resource that the set does not name any more is removed, and then not reported', () => {
  const it = setup()
  it.desired(1, pool(2))
  it.operated()
  const gone = it.desired(2)
  expect(deeds(gone)).toEqual(['remove main'])
  expect(told(gone)).toEqual({ version: 2, states: ['main pending'] })
  expect(told(it.operated())).toEqual({ version: 2, states: [] })
})

test('one operation at a time: a change during it follows afterwards, and only the last change counts', () => {
  const it = setup()
  it.desired(1, pool(2))
  expect(deeds(it.desired(2, pool(3)))).toEqual([])
  expect(deeds(it.desired(3, pool(4)))).toEqual([])
  const next = it.operated()
  expect(deeds(next)).toEqual(['apply main 4'])
  expect(told(next)).toEqual({ version: 3, states: ['main pending'] })
  expect(told(it.operated())).toEqual({ version: 3, states: ['main ready'] })
})

test('a resource is removed while it is being applied, and desired again while it is being removed', () => {
  const it = setup()
  it.desired(1, pool(2))
  it.desired(2)
  expect(deeds(it.operated())).toEqual(['remove main'])
  it.desired(3, pool(5))
  expect(deeds(it.operated())).toEqual(['apply main 5'])
  expect(told(it.operated())).toEqual({ version: 3, states: ['main ready'] })
})

test('a failure is reported with its message and tried again; a repeated set does not make that sooner', () => {
  const it = setup()
  it.desired(1, pool(2))
  const failed = it.operated('no room')
  expect(deeds(failed)).toEqual(['in 2000'])
  expect(failed.at(-1)).toMatchObject({ observed: { resources: [{ state: 'failed', detail: 'no room' }] } })
  expect(deeds(it.desired(1, pool(2)))).toEqual([])
  expect(deeds(it.feed({ type: 'retry', key: 'pool/main' }))).toEqual(['apply main 2'])
  expect(deeds(it.operated('no room'))).toEqual(['in 3000'])
  expect(deeds(it.desired(2, pool(1)))).toEqual(['apply main 1'])
  expect(deeds(it.feed({ type: 'retry', key: 'pool/main' }))).toEqual([])
  expect(told(it.operated())).toEqual({ version: 2, states: ['main ready'] })
})

test('a resource of an earlier process is removed if it is not desired', () => {
  const it = setup()
  it.desired(1, pool(2))
  expect(deeds(it.feed({ type: 'listed', kind: 'pool', names: ['main', 'old'] }))).toEqual(['remove old'])
  expect(told(it.operated(undefined, 'pool/old'))).toEqual({ version: 1, states: ['main pending'] })
  expect(deeds(it.desired(2, pool(2)))).toEqual([])
})

test('a list that fails is asked for again', () => {
  const it = setup()
  it.desired(1)
  const [timer] = it.feed({ type: 'list_failed', kind: 'pool' })
  expect(timer).toMatchObject({ type: 'timer', input: { type: 'retry_list', kind: 'pool' } })
  expect(deeds(it.feed({ type: 'retry_list', kind: 'pool' }))).toEqual(['list pool'])
})

test('a kind that this agent does not know is reported as unsupported, and forgotten when it is not desired any more', () => {
  const it = setup([])
  const first = it.desired(1, pool(2))
  expect(deeds(first)).toEqual([])
  expect(told(first)).toEqual({ version: 1, states: ['main unsupported'] })
  expect(told(it.desired(2))).toEqual({ version: 2, states: [] })
})

// Found by the simulator: another agent had made one while this one was away, and nobody wanted it any more when this one came back.
test('after a lost connection another agent may have been at work: everything is listed and applied anew', () => {
  const it = setup()
  it.desired(1, pool(2))
  it.operated()
  expect(it.feed({ type: 'lost' })).toEqual([])
  expect(deeds(it.desired(1, pool(2)))).toEqual(['list pool', 'apply main 2'])
  expect(deeds(it.feed({ type: 'listed', kind: 'pool', names: ['main', 'other'] }))).toEqual(['remove other'])
})

test('what was in flight as the connection was lost is done again, after it has ended', () => {
  const it = setup()
  it.desired(1, pool(2))
  it.feed({ type: 'lost' })
  expect(deeds(it.desired(1, pool(2)))).toEqual(['list pool'])
  expect(deeds(it.operated())).toEqual(['apply main 2'])
  expect(told(it.operated())).toEqual({ version: 1, states: ['main ready'] })
})

test('nothing is begun while the hub is away', () => {
  const it = setup()
  it.desired(1, pool(2))
  it.feed({ type: 'lost' })
  expect(it.feed({ type: 'list_failed', kind: 'pool' })).toEqual([])
  expect(it.operated('failed')).toEqual([])
  expect(it.feed({ type: 'retry', key: 'pool/main' })).toEqual([])
})
