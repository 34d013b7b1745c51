import type { TaskEvent } from '@rdev/shared/domain/event'
import { joinData } from '@rdev/shared/domain/event-parts'
import { maxLineBytes } from '@rdev/shared/domain/limits'
import { outcome } from '@rdev/shared/domain/task'
import { closeCodes } from '@rdev/shared/wire/limits'
import { describe, expect, test } from 'vitest'
import { cursor, output, setup, leased, running } from './fixtures.ts'
import { initialTaskLog } from './machine.ts'
import { maxLogChars } from './taken-events.ts'

describe('the row’s own facts', () => {
  test('a queued task’s log begins with task.queued, once', () => {
    const { sync, log } = setup()
    sync()
    sync()
    expect(log).toMatchObject([{ seq: 1, type: 'task.queued', attempt: 0 }])
  })

  test('a lease adds task.leased, and a first sync after the lease adds both events', () => {
    const { sync, log } = setup()
    sync(leased)
    sync(leased)
    expect(log).toMatchObject([{ type: 'task.queued' }, { seq: 2, type: 'task.leased', attempt: 1, data: { pod: 'pod-1' } }])
  })

  test('a row that was read before a newer one changes nothing', () => {
    const { sync, log, types } = setup()
    sync({ ...leased, attempt: 2 })
    const before = log.length
    sync(leased)
    sync()
    expect(log).toHaveLength(before)
    expect(types()).toEqual(['task.queued', 'task.leased'])
  })

  test('a task that was cancelled while queued ends without an attempt', () => {
    const { sync, types, take } = setup()
    sync({ status: 'cancelled', error_code: 'CANCELLED' })
    expect(types()).toEqual(['task.queued', 'task.finished'])
    expect(take('complete')).toHaveLength(1)
  })

  test('after task.finished nothing is ever added', () => {
    const { sync, types, connect, closed } = setup()
    sync({ status: 'cancelled' })
    sync(leased)
    connect('a')
    expect(types().at(-1)).toBe('task.finished')
    expect(closed()).toEqual([])
  })

  test('a task that went back to the queue says so and why, and its next attempt starts from nothing', () => {
    const log = running()
    log.events('a', 0, 'one', 'two')
    log.sync({ status: 'queued', attempt: 1, run_after: 5000 })
    expect(log.log.at(-1)).toMatchObject({ seq: 5, type: 'task.requeued', attempt: 1, data: { reason: 'not_started', next_attempt: 2 } })
    expect(log.closed()).toEqual([['a', closeCodes.stale]])
    log.sync({ ...leased, attempt: 2 })
    log.connect('b', 2, 1)
    expect(log.sent().at(-1)).toMatchObject(['b', { type: 'resume', received: 0, seq: 6, cursor: cursor(0), result: false }])
    log.events('b', 0, 'three')
    expect(log.log.at(-1)).toMatchObject({ seq: 7, type: 'output', attempt: 2 })
  })

  test('a requeue that the log missed is added before the next lease', () => {
    const log = running()
    log.sync({ ...leased, attempt: 2 })
    expect(log.types()).toEqual(['task.queued', 'task.leased', 'task.requeued', 'task.leased'])
    expect(log.closed()).toEqual([['a', closeCodes.stale]])
  })
})

describe('lines', () => {
  test('the log sends the first frame: what it holds, and the pending commands', () => {
    const { sync, connect, sent } = setup()
    sync(leased)
    connect('a')
    expect(sent()).toEqual([['a', { type: 'resume', received: 0, seq: 2, cursor: cursor(0), pending: [], result: false }]])
  })

  test('an attempt that comes before its lease is known waits for the row', () => {
    const { connect, take, sent, step, row, types } = setup()
    connect('a')
    expect(take('load')).toHaveLength(1)
    expect(sent()).toEqual([])
    step({ type: 'loaded', task: row(leased) })
    expect(types()).toEqual(['task.queued', 'task.leased'])
    expect(sent()).toMatchObject([['a', { type: 'resume', seq: 2 }]])
  })

  test('a sync from the hub lets a waiting attempt in, and the row that comes later changes nothing', () => {
    const { connect, sync, sent, closed, step, row } = setup()
    connect('a')
    sync(leased)
    expect(sent()).toHaveLength(1)
    step({ type: 'loaded', task: row(leased) })
    expect([sent(), closed()]).toEqual([[], []])
  })

  test('an older row that arrives meanwhile does not send a waiting attempt away', () => {
    const { connect, sync, closed } = setup()
    connect('a')
    sync()
    expect(closed()).toEqual([])
  })

  test('an attempt that the row does not know is refused; if the row cannot be read, the attempt is told to reconnect', () => {
    const { connect, step, row, closed } = setup()
    connect('a', 3)
    step({ type: 'loaded', task: row(leased) })
    expect(closed()).toEqual([['a', closeCodes.stale]])
    connect('b', 3)
    step({ type: 'load_failed' })
    expect(closed()).toEqual([['b', closeCodes.tryAgain]])
    connect('c', 3)
    step({ type: 'loaded', task: undefined })
    expect(closed()).toEqual([['c', closeCodes.stale]])
  })

  test('a newer line of the attempt closes the older, whose frames change nothing any more', () => {
    const log = running()
    log.connect('b')
    expect(log.closed()).toEqual([['a', closeCodes.superseded]])
    log.events('a', 0, 'late')
    expect(log.types()).not.toContain('output')
    log.events('b', 0, 'now')
    expect(log.types().at(-1)).toBe('output')
  })

  test('the close event of a superseded line does not take the newer one away', () => {
    const log = running()
    log.connect('b')
    log.step({ type: 'closed', connection: 'a' })
    log.forget()
    log.events('b', 0, 'here')
    expect(log.sent()).toMatchObject([['b', { type: 'ack', received: 1 }]])
  })

  test('a lower attempt and a lower epoch are stale', () => {
    const log = setup()
    log.sync({ ...leased, attempt: 2 })
    log.connect('old', 1, 9)
    log.connect('new', 2, 5)
    log.connect('slow', 2, 4)
    expect(log.closed()).toEqual([
      ['old', closeCodes.stale],
      ['slow', closeCodes.stale],
    ])
    log.events('new', 0, 'x')
    expect(log.types().at(-1)).toBe('output')
  })

  test('a second connection for an unknown attempt replaces the first', () => {
    const { connect, closed, sync, sent } = setup()
    connect('a')
    connect('b')
    expect(closed()).toEqual([['a', closeCodes.superseded]])
    sync(leased)
    expect(sent()).toMatchObject([['b', { type: 'resume' }]])
  })
})

describe('events', () => {
  test('are numbered without a hole and acknowledged after they were kept', () => {
    const log = running()
    const effects = log.events('a', 0, 'one', 'two')
    expect(effects.map(({ type }) => type)).toEqual(['append', 'send'])
    expect(log.sent()).toEqual([['a', { type: 'ack', received: 2, seq: 4, result: false }]])
    log.events('a', 2, 'three')
    expect(log.log.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5])
    expect(log.durable()).toMatchObject({ received: 3, seq: 5, cursor: cursor(3) })
  })

  test('a repeated batch is acknowledged again and not kept twice', () => {
    const log = running()
    log.events('a', 0, 'one', 'two')
    log.forget()
    log.events('a', 0, 'one', 'two')
    log.events('a', 0, 'one')
    expect(log.take('append')).toEqual([])
    expect(log.sent()).toMatchObject([
      ['a', { type: 'ack', received: 2 }],
      ['a', { type: 'ack', received: 2 }],
    ])
  })

  test('a hole closes the line, and so does a batch that overlaps what is held', () => {
    const hole = running()
    hole.events('a', 1, 'two')
    expect(hole.closed()).toEqual([['a', closeCodes.gap]])
    const overlap = running()
    overlap.events('a', 0, 'one')
    overlap.events('a', 0, 'one', 'two')
    expect(overlap.closed()).toEqual([['a', closeCodes.gap]])
    expect(overlap.durable().received).toBe(1)
    overlap.events('a', 1, 'two')
    expect(overlap.durable().received).toBe(1)
  })

  test('a batch without events moves the cursor', () => {
    const log = running()
    log.frame('a', { type: 'events', after: 0, cursor: cursor(77), events: [] })
    expect(log.durable().cursor).toEqual(cursor(77))
    expect(log.take('append')).toEqual([])
    expect(log.sent()).toMatchObject([['a', { type: 'ack', received: 0 }]])
  })

  test('a type that only the log writes closes the line', () => {
    for (const type of ['task.queued', 'task.leased', 'task.requeued', 'task.finished'] as const) {
      const log = running()
      log.frame('a', { type: 'events', after: 0, cursor: cursor(1), events: [{ ...output(''), type }] })
      expect(log.closed()).toEqual([['a', closeCodes.malformed]])
      expect(log.durable().received).toBe(0)
    }
  })

  test('after a reconnect the attempt goes on where the log stands', () => {
    const log = running()
    log.events('a', 0, 'one', 'two')
    log.step({ type: 'closed', connection: 'a' })
    log.forget()
    log.connect('b', 1, 2)
    expect(log.sent()).toMatchObject([['b', { type: 'resume', received: 2, seq: 4, cursor: cursor(2) }]])
  })

  test('deltas reach readers and are not numbered', () => {
    const log = running()
    const deltas = [{ type: 'message.delta' as const, data: { text: 'h' } }]
    log.frame('a', { type: 'deltas', deltas })
    expect(log.take('deltas')).toMatchObject([{ deltas }])
    expect(log.durable().seq).toBe(2)
  })
})

describe('cancel', () => {
  test('goes down an open line at once', () => {
    const log = running()
    log.step({ type: 'cancel', grace_s: 7 })
    expect(log.sent()).toEqual([['a', { type: 'cancel', grace_s: 7 }]])
  })

  test('asked for before the attempt connects, it comes with every resume', () => {
    const log = setup()
    log.step({ type: 'cancel', grace_s: 7 })
    log.sync(leased)
    for (const connection of ['a', 'b']) {
      log.connect(connection)
      expect(log.sent()).toMatchObject([[connection, { type: 'resume', pending: [{ type: 'cancel', grace_s: 7 }] }]])
    }
  })

  test('known from the row alone, it is sent too, once', () => {
    const log = running()
    log.sync({ ...leased, cancel_requested_at: 5 })
    log.sync({ ...leased, cancel_requested_at: 5 })
    expect(log.sent()).toEqual([['a', { type: 'cancel', grace_s: 10 }]])
  })

  test('is not sent any more once the result is held', () => {
    const log = running()
    log.result('a', 0)
    log.forget()
    log.step({ type: 'cancel', grace_s: 7 })
    log.connect('b')
    expect(log.sent()).toMatchObject([['b', { type: 'resume', pending: [], result: true }]])
  })
})

describe('lines of a stream', () => {
  const lineBytes = (event: TaskEvent) => new TextEncoder().encode(JSON.stringify(event)).byteLength

  test('a long event of an older agent is told in parts; what it counts stays its own', () => {
    const log = running()
    const text = 'é"'.repeat(60_000)
    log.events('a', 0, 'one', text, 'three')
    expect(log.durable()).toMatchObject({ received: 3, seq: log.log.length })
    const [, , first, ...rest] = log.log as TaskEvent[]
    expect(first).toMatchObject({ seq: 3, data: { text: 'one' } })
    for (const event of rest) expect(lineBytes(event)).toBeLessThanOrEqual(maxLineBytes - 6)
    expect(rest.at(-1)).toMatchObject({ data: { text: 'three' } })
    expect(joinData(rest.slice(0, -1).map(({ data }) => data))).toEqual({ stream: 'stdout', text })
    expect(log.log.map(({ seq }) => seq)).toEqual(log.log.map((_, i) => i + 1))
  })

  test('the events that the log itself writes fit a line, however long result and error are', () => {
    const log = running()
    const words = { result: '\u001b'.repeat(100_000), error: 'ü"'.repeat(50_000) }
    log.result('a', 0, outcome('failed', { ...words, error_code: 'AGENT_ERROR' }))
    log.step({ type: 'finish_answered', task: log.row({ status: 'queued', attempt: 1 }) })
    log.sync({ status: 'leased', attempt: 2 })
    log.connect('b', 2)
    log.result('b', 0, outcome('failed', words))
    log.step({ type: 'finish_answered', task: log.row({ status: 'failed', attempt: 2, ...words }) })
    const own = (log.log as TaskEvent[]).filter(({ type }) => type === 'task.requeued' || type === 'task.finished')
    expect(own.map(({ type }) => type)).toEqual(['task.requeued', 'task.finished'])
    for (const event of own) {
      expect(lineBytes(event)).toBeLessThanOrEqual(maxLineBytes - 6)
      expect(event.data).toMatchObject({ truncated: true })
    }
    expect(words.result.startsWith(String(own[1]!.data['result']))).toBe(true)
  })
})

describe('a full log', () => {
  const much = maxLogChars / 4
  const frame = (after: number, text: string) => ({ type: 'events' as const, after, cursor: cursor(after + 1), events: [output(text)] })

  test('takes no more of its attempt, says so once, goes on acknowledging, and ends', () => {
    const log = running()
    for (let i = 0; i < 8; i++) log.frame('a', { ...frame(i, `text ${i}`), chars: much })
    expect(log.types()).toEqual(['task.queued', 'task.leased', 'output', 'output', 'output', 'output', 'error'])
    expect(log.log.at(-1)).toMatchObject({ data: { code: 'LOG_FULL' } })
    expect(log.durable()).toMatchObject({ received: 8, seq: 7, cursor: cursor(8) })
    log.result('a', 8)
    log.step({ type: 'finish_answered', task: log.row({ ...leased, status: 'succeeded' }) })
    expect(log.types().at(-1)).toBe('task.finished')
  })

  test('says so again to the readers of another attempt, which adds nothing either', () => {
    const log = running()
    for (let i = 0; i < 5; i++) log.frame('a', { ...frame(i, 'x'), chars: much })
    log.result('a', 5, outcome('failed', { error_code: 'AGENT_ERROR' }))
    log.step({ type: 'finish_answered', task: log.row({ status: 'queued', attempt: 1 }) })
    log.sync({ status: 'leased', attempt: 2 })
    log.connect('b', 2)
    for (let i = 0; i < 3; i++) log.frame('b', frame(i, 'y'))
    expect(log.log.filter(({ type }) => type === 'error').map(({ attempt }) => attempt)).toEqual([1, 2])
    expect(log.durable().received).toBe(3)
  })

  test('memory of a version without the bound is empty of it', () => {
    const { fill: _, ...older } = running().durable()
    expect(initialTaskLog(older).durable.fill).toEqual({ chars: 0, full: false })
  })
})
