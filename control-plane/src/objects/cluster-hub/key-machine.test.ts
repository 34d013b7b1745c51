import { closeCodes } from '@rdev/shared/wire/limits'
import { expect, test } from 'vitest'
import { aPod } from '../machine-fixtures.ts'
import { finished, presence, running, setup, start, welcomed } from './fixtures.ts'

const ask = { type: 'judge_key', connection: 'a', key_id: 'key_home' }
const refused = [{ connection: 'a', code: closeCodes.unauthorized }]
const judged = (hub: ReturnType<typeof setup>, valid: boolean | null, connection = 'a') =>
  hub.step({ type: 'key_judged', connection, valid })

test('an idle hub asks nothing about its key', () => {
  const hub = welcomed()
  hub.pass(3_600_000)
  expect(hub.take('judge_key')).toEqual([])
  expect(hub.state().alarmAt).toBeNull()
})

test('the key is judged again at sweeps while something runs, and its connection closes when it is refused', () => {
  const hub = welcomed([aPod()], [presence(1)], running(1))
  for (let i = 0; i < 3; i++) {
    hub.pass(20_000)
    hub.alarm()
    expect(hub.take('judge_key')).toEqual([ask])
    judged(hub, true)
  }
  expect(hub.take('close')).toEqual([])
  hub.pass(20_000)
  hub.alarm()
  judged(hub, false)
  expect(hub.take('close')).toMatchObject(refused)
  expect(hub.take('close_lines')).toMatchObject([{ key_id: 'key_home', tasks: [{ id: running(1).task.id }] }])
  expect(hub.state().connection).toBeNull()
})

test('the key is judged again when the agent says something, once in 15 s, and when the queue is inspected', () => {
  const hub = welcomed()
  hub.pass(14_999)
  hub.frame(finished(1))
  expect(hub.take('judge_key')).toEqual([])
  hub.pass(1)
  hub.frame({ type: 'pods', pods: [aPod()] })
  hub.frame({ type: 'heartbeat', agent_time: 0, attempts: [] })
  expect(hub.take('judge_key')).toEqual([ask])
  judged(hub, true)
  hub.step({ type: 'poke' })
  hub.claimed()
  hub.queueInspected(true)
  hub.pass(15_000)
  hub.alarm()
  expect(hub.take('judge_key')).toEqual([ask])
})

test('while the database is away the connection stays, and the question is repeated', () => {
  const hub = welcomed()
  hub.pass(20_000)
  hub.frame(finished(1))
  judged(hub, null)
  hub.forget()
  hub.pass(5_000)
  hub.frame(finished(1))
  expect([hub.take('judge_key'), hub.take('close')]).toEqual([[ask], []])
})

test('a claim, and what the agent reports, carry the key', () => {
  const hub = welcomed()
  hub.step({ type: 'poke' })
  expect(hub.take('claim')).toMatchObject([{ key_id: 'key_home' }])
  hub.frame({ type: 'pods', pods: [aPod()] })
  expect(hub.writes()).toMatchObject([{ kind: 'report', key_id: 'key_home' }])
})

test('an answer about an earlier connection decides nothing', () => {
  const hub = welcomed()
  hub.connect('b', { id: 'key_next' })
  hub.forget()
  judged(hub, false)
  expect([hub.take('close'), hub.state().connection?.id]).toEqual([[], 'b'])
})

test('a key that ends closes its connection without a question, before anything is claimed', () => {
  const hub = setup()
  hub.connect('a', { expires_at: start + 60_000 })
  hub.hello([aPod()])
  hub.loaded()
  hub.claimed()
  hub.queueInspected()
  hub.forget()
  hub.pass(59_999)
  hub.step({ type: 'poke' })
  expect(hub.take('claim')).toHaveLength(1)
  hub.claimed()
  hub.queueInspected()
  hub.pass(1)
  hub.step({ type: 'poke' })
  expect([hub.take('claim'), hub.take('judge_key')]).toEqual([[], []])
  expect(hub.take('close')).toMatchObject(refused)
})

test('a revocation that is told closes the connection of that key at once, and no other', () => {
  const hub = welcomed()
  hub.step({ type: 'key_revoked', key_id: 'key_before' })
  expect(hub.take('close')).toEqual([])
  hub.step({ type: 'key_revoked', key_id: 'key_home' })
  expect(hub.take('close')).toMatchObject(refused)
})

test('a hub that slept knows its connection’s key, and judges it when the agent answers', () => {
  const hub = setup()
  hub.step({ type: 'woke', connection: { id: 'a', epoch: 6, since: start - 600_000, key: { id: 'key_home', expires_at: null } } })
  hub.hello([aPod()])
  expect(hub.take('judge_key')).toEqual([ask])
  judged(hub, false)
  expect(hub.take('close')).toMatchObject(refused)
})
