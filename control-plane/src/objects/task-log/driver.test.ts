import { closeCodes } from '@rdev/shared/wire/limits'
import { expect, test } from 'vitest'
import { memoryStores } from '../../stores/memory/memory-stores.ts'
import { manualClock } from '../../testing/clock.ts'
import { memoryHubs } from '../../testing/hubs.ts'
import { seededRandomness } from '../../testing/randomness.ts'
import { aTask } from '../machine-fixtures.ts'
import { TaskLogDriver, type TaskLogPlatform } from './driver.ts'
import { aLine, cursor, output } from './fixtures.ts'

/** A log with a line whose key must be judged before its first frame counts, and whose key cannot be read for the moment. */
function setup() {
  const clock = manualClock()
  const closed: [string, number][] = []
  const sent: unknown[] = []
  let full = false
  const platform: TaskLogPlatform = {
    name: aTask().id,
    newId: () => 'id',
    load: () => undefined,
    commit: () => {
      if (full) throw new Error('the storage is full')
    },
    rows: () => [],
    accept: () => {},
    connections: () => [],
    send: (_, text) => void sent.push(JSON.parse(text)),
    close: (connection, code) => void closed.push([connection, code]),
    lastPingAt: () => 0,
    after: () => () => {},
    setAlarm: async () => {},
    alarmAt: async () => null,
  }
  const stores = memoryStores(clock)
  const keys = { ...stores.keys, get: () => Promise.reject(new Error('the database is away')) }
  const deps = { ...stores, keys, hubs: memoryHubs(), clock, random: seededRandomness(), log: () => {}, rowEnded: async () => {} }
  const log = new TaskLogDriver(platform, deps)
  log.sync(aTask({ status: 'running', attempt: 1, pod: 'pod-1' }))
  log.connectLine({ ...aLine(), judged_at: 0, expires_at: Infinity })
  const events = { type: 'events', after: 0, cursor: cursor(1), events: [output('one')] }
  log.message('a', JSON.stringify(events))
  sent.length = 0
  return { closed, sent, fill: () => void (full = true), answered: () => new Promise((resolve) => setTimeout(resolve, 0)) }
}

test('frames that waited for a judgement are stored and acknowledged when it cannot be made', async () => {
  const { sent, closed, answered } = setup()
  expect(sent).toEqual([])
  await answered()
  expect(sent).toMatchObject([{ type: 'ack', received: 1 }])
  expect(closed).toEqual([])
})

test('frames that waited and cannot be stored close the line, so that the attempt sends them again', async () => {
  const { sent, closed, fill, answered } = setup()
  fill()
  await answered()
  expect(sent).toEqual([])
  expect(closed).toEqual([['a', closeCodes.tryAgain]])
})
