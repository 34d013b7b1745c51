import { closeCodes } from '@rdev/shared/wire/limits'
import { expect, test } from 'vitest'
import { aTask } from '../machine-fixtures.ts'
import { setup } from './fixtures.ts'

/** A log with the line `a`, whose key was judged just now. */
function running(change: Parameters<ReturnType<typeof setup>['connect']>[3] = {}) {
  const log = setup(aTask({ status: 'running', attempt: 1, pod: 'pod-1' }))
  log.sync()
  log.connect('a', 1, 1, change)
  log.forget()
  return log
}
const ask = { type: 'judge_key', connection: 'a', key_id: 'key_home' }

test('a line that was judged a moment ago asks nothing, and neither does a silent one', () => {
  const log = running()
  log.events('a', 0, 'one')
  log.pass(14_000)
  log.events('a', 1, 'two')
  log.pass(600_000)
  log.step({ type: 'alarm' })
  expect(log.take('judge_key')).toEqual([])
})

test('a busy line goes on while its key is judged again, once in 15 s', () => {
  const log = running()
  log.pass(15_000)
  log.events('a', 0, 'one')
  log.events('a', 1, 'two')
  expect(log.take('judge_key')).toEqual([ask])
  expect(log.durable().received).toBe(2)
  log.judged('a', true)
  log.pass(14_000)
  log.events('a', 2, 'three')
  expect(log.take('judge_key')).toEqual([])
  log.pass(1_000)
  log.events('a', 3, 'four')
  expect(log.take('judge_key')).toEqual([ask])
})

test('what comes after a long silence waits for the judgement, in its order, and is lost when the key is refused', () => {
  for (const valid of [true, false]) {
    const log = running()
    log.pass(45_000)
    log.events('a', 0, 'one')
    log.events('a', 1, 'two')
    log.result('a', 2)
    expect(log.take('judge_key')).toEqual([ask])
    expect([log.durable().received, log.durable().result]).toEqual([0, null])
    log.judged('a', valid)
    expect(log.durable().received).toBe(valid ? 2 : 0)
    expect(log.durable().result === null).toBe(!valid)
    expect(log.closed()).toEqual(valid ? [] : [['a', closeCodes.unauthorized]])
    expect(log.take('finish')).toHaveLength(valid ? 1 : 0)
  }
})

test('a line that was let in unjudged is judged before its first frame counts', () => {
  const log = running({ judged_at: 0 })
  log.result('a', 0)
  expect(log.take('judge_key')).toEqual([ask])
  log.judged('a', false)
  expect([log.durable().result, log.closed()]).toEqual([null, [['a', closeCodes.unauthorized]]])
})

test('while the database is away frames are taken, and the question is repeated', () => {
  const log = running()
  log.pass(45_000)
  log.events('a', 0, 'one')
  log.judged('a', null)
  expect(log.durable().received).toBe(1)
  log.forget()
  log.pass(4_999)
  log.events('a', 1, 'two')
  expect(log.take('judge_key')).toEqual([])
  log.pass(1)
  log.events('a', 2, 'three')
  expect(log.take('judge_key')).toEqual([ask])
  expect(log.durable().received).toBe(3)
})

test('a line sends no endless frames while it is judged', () => {
  const log = running()
  log.pass(45_000)
  for (let i = 0; i < 33; i++) log.events('a', i, 'more')
  expect(log.closed()).toEqual([['a', closeCodes.tryAgain]])
  log.judged('a', true)
  expect(log.durable().received).toBe(0)
})

test('an answer about an earlier line decides nothing', () => {
  const log = running()
  log.pass(45_000)
  log.events('a', 0, 'one')
  log.connect('b')
  log.judged('a', false)
  log.events('b', 0, 'one')
  expect([log.state().line?.connection, log.durable().received]).toEqual(['b', 1])
})

test('a token that has ended opens nothing more, without a question', () => {
  const log = running({ expires_at: 1_010_000 })
  log.pass(9_999)
  log.events('a', 0, 'one')
  log.pass(1)
  log.events('a', 1, 'two')
  expect([log.durable().received, log.closed(), log.take('judge_key')]).toEqual([1, [['a', closeCodes.unauthorized]], []])
})

test('a revocation that is told closes lines of that key only, also one that waits', () => {
  const log = running()
  log.step({ type: 'key_revoked', key_id: 'key_other' })
  expect(log.closed()).toEqual([])
  log.connect('b', 2)
  log.step({ type: 'key_revoked', key_id: 'key_home' })
  expect(log.closed()).toEqual([
    ['a', closeCodes.unauthorized],
    ['b', closeCodes.unauthorized],
  ])
  log.events('a', 0, 'one')
  expect([log.state().line, log.state().waiting, log.durable().received]).toEqual([null, null, 0])
})
