import { expect, test } from 'vitest'
import { resourcesSinceProtocol } from '@rdev/shared/wire/version'
import { aPod } from '../machine-fixtures.ts'
import { setup } from './fixtures.ts'

const desired = (version: number) => ({ version, resources: [{ kind: 'pool', name: 'main', spec: { size: version } }] })

function connected(protocol = resourcesSinceProtocol) {
  const hub = setup()
  hub.connect('a')
  hub.hello([aPod()], [], 'a', protocol)
  return {
    ...hub,
    reads: () => hub.take('read_desired').length,
    read: (version: number) => hub.step({ type: 'desired_read', desired: desired(version) }),
    failed: () => hub.step({ type: 'desired_read_failed', why: 'away' }),
    versions: () => hub.sent('desired').map((frame) => (frame.type === 'desired' ? frame.version : 0)),
  }
}

test('desired resources are read at hello and sent after the welcome, in whichever order these come', () => {
  const readFirst = connected()
  expect(readFirst.reads()).toBe(1)
  readFirst.read(1)
  expect(readFirst.sent('desired')).toEqual([])
  readFirst.loaded()
  const frames = readFirst.take('send').map(({ frame }) => frame)
  expect(frames.map(({ type }) => type)).toEqual(['welcome', 'desired'])
  expect(frames[1]).toEqual({ type: 'desired', ...desired(1) })

  const welcomedFirst = connected()
  welcomedFirst.loaded()
  expect(welcomedFirst.versions()).toEqual([])
  welcomedFirst.read(1)
  expect(welcomedFirst.versions()).toEqual([1])
})

test('they are sent again at every welcome, also after a second hello on the same connection', () => {
  const hub = connected()
  hub.loaded()
  hub.read(1)
  expect(hub.versions()).toEqual([1])
  hub.hello([aPod()], [], 'a', resourcesSinceProtocol)
  hub.loaded()
  expect(hub.versions()).toEqual([1])
  hub.read(2)
  expect(hub.versions()).toEqual([2])
})

test('a change is read and sent; a change during a read is read afterwards, and the older answer is not sent', () => {
  const hub = connected()
  hub.loaded()
  hub.read(1)
  hub.forget()
  hub.step({ type: 'resources_changed' })
  hub.step({ type: 'resources_changed' })
  expect(hub.reads()).toBe(1)
  hub.read(2)
  expect(hub.versions()).toEqual([])
  expect(hub.reads()).toBe(1)
  hub.read(3)
  expect(hub.versions()).toEqual([3])
  expect(hub.reads()).toBe(0)
})

test('a failed read is repeated', () => {
  const hub = connected()
  hub.loaded()
  hub.reads()
  hub.failed()
  expect(hub.reads()).toBe(0)
  hub.pass(5_000)
  hub.alarm()
  expect(hub.reads()).toBe(1)
  hub.read(1)
  expect(hub.versions()).toEqual([1])
})

test('an agent of an earlier protocol gets nothing, and without an agent nothing is read', () => {
  const old = connected(resourcesSinceProtocol - 1)
  old.loaded()
  old.step({ type: 'resources_changed' })
  expect(old.reads()).toBe(0)
  expect(old.versions()).toEqual([])

  const alone = setup()
  alone.step({ type: 'resources_changed' })
  expect(alone.take('read_desired')).toEqual([])
})

test('what the agent observed is kept as long as it is connected', () => {
  const hub = connected()
  hub.loaded()
  hub.frame({ type: 'observed', version: 1, resources: [{ kind: 'pool', name: 'main', state: 'ready', detail: null }] })
  expect(hub.state().observed).toEqual({ version: 1, resources: [{ kind: 'pool', name: 'main', state: 'ready', detail: null }] })
  hub.connect('b')
  expect(hub.state().observed).toBe(null)
})

test('a change waits for the judgement of a key that was judged more than 5 s ago, and is not sent to one that is refused', () => {
  for (const valid of [true, null, false]) {
    const hub = connected()
    hub.loaded()
    hub.read(1)
    hub.forget()
    hub.pass(4_999)
    hub.step({ type: 'resources_changed' })
    hub.read(2)
    expect([hub.versions(), hub.take('judge_key')]).toEqual([[2], []])
    hub.pass(1)
    hub.step({ type: 'resources_changed' })
    hub.read(3)
    expect([hub.versions(), hub.take('judge_key').length]).toEqual([[], 1])
    hub.step({ type: 'key_judged', connection: 'a', valid })
    expect(hub.versions()).toEqual(valid === false ? [] : [3])
    hub.pass(15_000)
    hub.frame({ type: 'heartbeat', agent_time: 0, attempts: [] })
    hub.step({ type: 'key_judged', connection: 'a', valid: true })
    expect(hub.versions()).toEqual([])
  }
})
