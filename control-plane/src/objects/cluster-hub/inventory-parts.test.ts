// What the hub makes of an inventory that comes in parts.
import type { AttemptPresence } from '@rdev/shared/domain/attempt'
import type { Pod } from '@rdev/shared/domain/pod'
import { encodeFrame } from '@rdev/shared/wire/codec'
import { closeCodes, maxFrameBytes, maxInventoryAttempts, maxInventoryPods } from '@rdev/shared/wire/limits'
import { expect, test } from 'vitest'
import { aPod } from '../machine-fixtures.ts'
import { presence, running, setup, welcomed } from './fixtures.ts'
import type { Inventory } from './inventory-parts.ts'

const other = aPod({ name: 'pod-2', uid: 'uid-2', role: 'worker', project_id: null })
const hello = (part: number, parts: number, pods: readonly Pod[], attempts: readonly AttemptPresence[] = []): Inventory => ({
  type: 'hello',
  protocol: 5,
  agent_version: '1',
  instance: 'instance',
  agent_time: 0,
  pods: [...pods],
  attempts: [...attempts],
  part,
  parts,
})
const pods = (part: number, parts: number, told: readonly Pod[]): Inventory => ({ type: 'pods', pods: [...told], part, parts })
const names = (hub: ReturnType<typeof setup>) => hub.state().pods.map(({ name }) => name)

test('nothing of a hello is believed before its last part', () => {
  const hub = setup()
  hub.connect('a')
  hub.frame(hello(1, 3, [aPod()]))
  hub.frame(hello(2, 3, [other]))
  expect([hub.writes(), hub.take('load'), names(hub), hub.state().connection?.hello]).toEqual([[], [], [], null])
  hub.frame(hello(3, 3, [], [presence(1)]))
  expect(hub.take('load')).toHaveLength(1)
  expect(names(hub)).toEqual(['pod-1', 'pod-2'])
  expect(hub.state().connection).toMatchObject({ hello: [presence(1)], told: null })
})

test('a pod and an attempt of a later part are not taken for gone', () => {
  const live = running(1)
  const hub = welcomed([aPod(), other], [presence(1)], live)
  hub.forget()
  hub.frame(pods(1, 2, [other]))
  hub.frame(hello(1, 2, [aPod(), other]))
  expect([hub.phases(), names(hub), hub.writes()]).toEqual([['01.1 running'], ['pod-1', 'pod-2'], []])
  hub.frame(hello(2, 2, [], [presence(1)]))
  hub.loaded(live)
  expect(hub.phases()).toEqual(['01.1 running'])
  hub.frame(pods(1, 2, [other]))
  hub.frame(pods(2, 2, [aPod()]))
  expect([hub.phases(), names(hub)]).toEqual([['01.1 running'], ['pod-2', 'pod-1']])
})

test('parts whose beginning a sleep of the object took are ignored: it asked for a new hello', () => {
  const hub = setup()
  hub.step({ type: 'woke', connection: { id: 'a', epoch: 6, key: { id: 'key_home', expires_at: null }, since: 0 } })
  expect(hub.sent('sync')).toHaveLength(1)
  hub.frame(hello(2, 3, [other]))
  hub.frame(hello(3, 3, []))
  expect([hub.take('close'), hub.state().connection?.hello]).toEqual([[], null])
  hub.frame(hello(1, 2, [aPod()]))
  hub.frame(hello(2, 2, [other]))
  expect(names(hub)).toEqual(['pod-1', 'pod-2'])
})

test.each<[string, readonly Inventory[]]>([
  ['a part is missing', [hello(1, 3, []), hello(3, 3, [])]],
  ['a part comes twice', [hello(1, 3, []), hello(2, 3, []), hello(2, 3, [])]],
  ['their number changes', [hello(1, 3, []), hello(2, 4, [])]],
  ['a part is of another frame', [hello(1, 2, []), pods(2, 2, [])]],
  ['a part is beyond the last', [hello(3, 2, [])]],
  [
    'they are too many pods',
    [1, 2].map((part) =>
      pods(
        part,
        3,
        Array.from({ length: maxInventoryPods / 2 + 1 }, () => other),
      ),
    ),
  ],
  [
    'they are too many attempts',
    [1, 2, 3].map((part) =>
      hello(
        part,
        4,
        [],
        Array.from({ length: maxInventoryAttempts / 3 + 1 }, () => presence(1)),
      ),
    ),
  ],
])('the socket is closed where %s', (_, frames) => {
  const hub = setup()
  hub.connect('a')
  for (const frame of frames) hub.frame(frame)
  expect(hub.take('close')).toMatchObject([{ connection: 'a', code: closeCodes.malformed }])
})

test('thousands of attempts to stop are told in welcomes that an agent can read', () => {
  const hub = setup()
  hub.connect('a')
  const unknown = Array.from({ length: 20_000 }, (_, i) => presence(1, i + 1))
  hub.hello([aPod()], unknown)
  hub.loaded()
  const welcomes = hub.take('send').flatMap(({ frame }) => (frame.type === 'welcome' ? [frame] : []))
  for (const frame of welcomes) expect(encodeFrame(frame).length).toBeLessThan(maxFrameBytes / 2)
  expect(welcomes.flatMap(({ stop }) => stop)).toEqual(unknown.map(({ task_id, attempt }) => ({ task_id, attempt })))
})
