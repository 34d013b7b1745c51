import { outcome, type Task, type TaskOutcome } from '@rdev/shared/domain/task'
import type { AttemptEvent } from '@rdev/shared/domain/event'
import { closeCodes } from '@rdev/shared/wire/limits'
import type { TaskUp } from '@rdev/shared/wire/task-frames'
import { describe, expect, test } from 'vitest'
import { aTask } from './machine-fixtures.ts'
import { initialTaskLog, stepTaskLog, type TaskLogEffect, type TaskLogInput, type TaskLogState } from './task-log-machine.ts'

const cursor = (stdout: number) => ({ stdout, stderr: 0 })
const output = (text: string): AttemptEvent => ({ type: 'output', time: '2026-11-23T08:00:00.000Z', data: { stream: 'stdout', text } })
const success = outcome('succeeded', { exit_code: 0, result: 'done', duration_ms: 1500 })

/** A log that is stepped; what it did since the last look is asked for by kind. */
function setup(task: Task = aTask()) {
  let state: TaskLogState = initialTaskLog()
  let now = 1_000_000
  let effects: TaskLogEffect[] = []
  const log: { seq: number; type: string; attempt: number; data: unknown }[] = []
  const step = (input: TaskLogInput) => {
    const done = stepTaskLog(state, input, now)
    state = done.state
    effects.push(...done.effects)
    for (const effect of done.effects) if (effect.type === 'append') log.push(...effect.events)
    return done.effects
  }
  const take = <Type extends TaskLogEffect['type']>(type: Type) => {
    const found = effects.filter((effect): effect is Extract<TaskLogEffect, { type: Type }> => effect.type === type)
    effects = effects.filter((effect) => effect.type !== type)
    return found
  }
  return {
    step,
    take,
    log,
    types: () => log.map(({ type }) => type),
    state: () => state,
    durable: () => state.durable,
    forget: () => void (effects = []),
    pass: (ms: number) => void (now += ms),
    row: (change: Partial<Task>): Task => ({ ...task, ...change }),
    sync: (change: Partial<Task> = {}) => step({ type: 'sync', task: { ...task, ...change } }),
    connect: (connection: string, attempt = 1, epoch = 1) => step({ type: 'connected', line: { connection, attempt, epoch } }),
    frame: (connection: string, frame: TaskUp) => step({ type: 'frame', connection, frame }),
    events: (connection: string, after: number, ...texts: string[]) =>
      step({
        type: 'frame',
        connection,
        frame: { type: 'events', after, cursor: cursor(after + texts.length), events: texts.map(output) },
      }),
    result: (connection: string, after: number, end: TaskOutcome = success) =>
      step({ type: 'frame', connection, frame: { type: 'result', after, outcome: end } }),
    sent: () => take('send').map(({ connection, frame }) => [connection, frame] as const),
    closed: () => take('close').map(({ connection, code }) => [connection, code] as const),
  }
}
const leased = { status: 'leased', attempt: 1, pod: 'pod-1' } as const
/** A log with a line open for attempt 1. */
function running() {
  const log = setup()
  log.sync(leased)
  log.connect('a')
  log.forget()
  return log
}

describe('the row’s own facts', () => {
  test('a queued task’s log begins with task.queued, once', () => {
    const { sync, log } = setup()
    sync()
    sync()
    expect(log).toMatchObject([{ seq: 1, type: 'task.queued', attempt: 0 }])
  })

  test('a lease adds task.leased, and a log that hears of both at once has both', () => {
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

  test('a requeue that was never told is told before the next lease', () => {
    const log = running()
    log.sync({ ...leased, attempt: 2 })
    expect(log.types()).toEqual(['task.queued', 'task.leased', 'task.requeued', 'task.leased'])
    expect(log.closed()).toEqual([['a', closeCodes.stale]])
  })
})

describe('lines', () => {
  test('the log speaks first: where it stands, and what is wanted', () => {
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

  test('an attempt that the row does not know is refused; one whose row cannot be read comes back', () => {
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

  test('a second connection for an unknown attempt takes the place of the first', () => {
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

  test('wished before the attempt connects, it comes with every resume', () => {
    const log = setup()
    log.step({ type: 'cancel', grace_s: 7 })
    log.sync(leased)
    for (const connection of ['a', 'b']) {
      log.connect(connection)
      expect(log.sent()).toMatchObject([[connection, { type: 'resume', pending: [{ type: 'cancel', grace_s: 7 }] }]])
    }
  })

  test('known from the row alone, it is told too, once', () => {
    const log = running()
    log.sync({ ...leased, cancel_requested_at: 5 })
    log.sync({ ...leased, cancel_requested_at: 5 })
    expect(log.sent()).toEqual([['a', { type: 'cancel', grace_s: 10 }]])
  })

  test('is not told any more once the result is held', () => {
    const log = running()
    log.result('a', 0)
    log.forget()
    log.step({ type: 'cancel', grace_s: 7 })
    log.connect('b')
    expect(log.sent()).toMatchObject([['b', { type: 'resume', pending: [], result: true }]])
  })
})

describe('the result', () => {
  // Found by the simulator: the answer of the finish was lost, a reader brought the log up to the row, and nobody told the hub that it was queued.
  test('a row that is queued again unknown to this log is told to the hub; one that its own finish queued was', () => {
    const queued = { status: 'queued', attempt: 1, run_after: 1_000_500 } as const
    const log = running()
    log.result('a', 0)
    log.forget()
    log.sync(queued)
    expect(log.take('poke')).toHaveLength(1)
    log.sync(queued)
    expect(log.take('poke')).toEqual([])

    const told = running()
    told.result('a', 0)
    told.step({ type: 'finish_answered', task: told.row(queued), random: 0 })
    expect(told.take('poke')).toEqual([])
  })

  test('is kept, acknowledged, and told to the row; task.finished comes from the row', () => {
    const log = running()
    log.events('a', 0, 'one')
    log.forget()
    log.result('a', 1)
    expect(log.sent()).toEqual([['a', { type: 'ack', received: 1, seq: 3, result: true }]])
    expect(log.take('finish')).toEqual([{ type: 'finish', attempt: 1, outcome: success }])
    expect(log.take('alarm')).toEqual([{ type: 'alarm', at: 1_010_000 }])
    expect(log.types()).not.toContain('task.finished')

    log.step({ type: 'finish_answered', task: log.row({ ...leased, status: 'succeeded', result: 'done', exit_code: 0 }), random: 0 })
    expect(log.log.at(-1)).toMatchObject({
      seq: 4,
      type: 'task.finished',
      data: { status: 'succeeded', result: 'done', exit_code: 0, duration_ms: 1500 },
    })
    expect(log.take('alarm')).toEqual([{ type: 'alarm', at: null }])
    expect(log.take('complete')).toHaveLength(1)
    expect(log.closed()).toEqual([])
  })

  test('repeated, it is acknowledged and told to the row once', () => {
    const log = running()
    log.result('a', 0)
    log.result('a', 0)
    log.connect('b')
    log.result('b', 0)
    expect(log.take('finish')).toHaveLength(1)
    expect(log.sent().filter(([, frame]) => frame.type === 'ack')).toHaveLength(3)
  })

  test('before all of its events it is a gap', () => {
    const log = running()
    log.result('a', 1)
    expect(log.closed()).toEqual([['a', closeCodes.gap]])
    expect(log.durable().result).toBeNull()
  })

  test('events after it are refused, repeated ones are not', () => {
    const log = running()
    log.events('a', 0, 'one')
    log.result('a', 1)
    log.forget()
    log.events('a', 0, 'one')
    expect(log.closed()).toEqual([])
    log.events('a', 1, 'two')
    expect(log.closed()).toEqual([['a', closeCodes.malformed]])
  })

  test('while Postgres is away it is tried again for ever, with growing waits, and never told twice at a time', () => {
    const log = running()
    log.result('a', 0)
    log.take('finish')
    const waits: number[] = []
    for (let i = 0; i < 12; i++) {
      log.take('alarm')
      log.step({ type: 'finish_failed', random: 0.999 })
      waits.push(log.take('alarm')[0]!.at! - 1_000_000)
      log.step({ type: 'alarm' })
      log.step({ type: 'alarm' })
      expect(log.take('finish')).toHaveLength(1)
    }
    expect(waits.slice(0, 3)).toEqual([999, 1998, 3996])
    expect(waits.at(-1)).toBe(59940)
    log.step({ type: 'finish_answered', task: log.row({ ...leased, status: 'succeeded' }), random: 0 })
    expect(log.types().at(-1)).toBe('task.finished')
  })

  test('a row that answers but did not take it is asked again', () => {
    const log = running()
    log.result('a', 0)
    log.forget()
    log.step({ type: 'finish_answered', task: log.row(leased), random: 0.5 })
    expect(log.take('alarm')).toEqual([{ type: 'alarm', at: 1_000_500 }])
  })

  test('retried by policy, the log goes on numbering and the attempt may still ask for its acknowledgement', () => {
    const log = running()
    log.events('a', 0, 'one')
    log.result('a', 1, outcome('failed', { error_code: 'AGENT_ERROR' }))
    log.step({ type: 'finish_answered', task: log.row({ status: 'queued', attempt: 1, run_after: 9000 }), random: 0 })
    expect(log.log.at(-1)).toMatchObject({ seq: 4, type: 'task.requeued', attempt: 1, data: { reason: 'AGENT_ERROR', next_attempt: 2 } })
    log.forget()
    log.connect('b')
    expect(log.sent()).toMatchObject([['b', { type: 'resume', result: true }]])
    log.forget()
    log.sync({ ...leased, attempt: 2 })
    expect(log.closed()).toEqual([['b', closeCodes.stale]])
    log.connect('c', 2)
    expect(log.sent()).toMatchObject([['c', { type: 'resume', received: 0, seq: 5, result: false }]])
  })

  test('an attempt that lost its acknowledgement finds it after the end', () => {
    const log = running()
    log.result('a', 0)
    log.step({ type: 'finish_answered', task: log.row({ ...leased, status: 'succeeded' }), random: 0 })
    log.forget()
    log.connect('b')
    expect(log.sent()).toMatchObject([['b', { type: 'resume', result: true }]])
    log.result('b', 0)
    expect(log.sent()).toMatchObject([['b', { type: 'ack', result: true }]])
    expect(log.take('finish')).toEqual([])
  })

  test('of a row that was deleted, the log still ends', () => {
    const log = running()
    log.result('a', 0)
    log.step({ type: 'finish_answered', task: undefined, random: 0 })
    expect(log.log.at(-1)).toMatchObject({ type: 'task.finished', data: { status: 'succeeded' } })
    expect(log.durable().finished).toBe(true)
  })
})

describe('an attempt that is given up', () => {
  const lost = outcome('lost', { error_code: 'LOST' })

  test('ends so, and its line is closed', () => {
    const log = running()
    log.step({ type: 'end', attempt: 1, outcome: lost })
    expect(log.closed()).toEqual([['a', closeCodes.stale]])
    expect(log.take('finish')).toMatchObject([{ attempt: 1, outcome: { status: 'lost' } }])
    log.events('a', 0, 'late')
    expect(log.types()).not.toContain('output')
  })

  test('keeps the result that was held already', () => {
    const log = running()
    log.result('a', 0)
    log.step({ type: 'end', attempt: 1, outcome: lost })
    expect(log.durable().result).toEqual(success)
    expect(log.take('finish')).toHaveLength(1)
  })

  test('is not touched by the end of another', () => {
    const log = running()
    log.step({ type: 'end', attempt: 2, outcome: lost })
    expect(log.durable().result).toBeNull()
  })
})

describe('an object that was away', () => {
  test('goes on with its line, and tells the row what it still owes', () => {
    const log = running()
    log.events('a', 0, 'one')
    log.result('a', 1)
    const woken = stepTaskLog(
      initialTaskLog(log.durable()),
      { type: 'woke', lines: [{ connection: 'a', attempt: 1, epoch: 1 }] },
      2_000_000,
    )
    expect(woken.state.line?.connection).toBe('a')
    expect(woken.effects).toEqual([{ type: 'finish', attempt: 1, outcome: success }])
    expect(stepTaskLog(woken.state, { type: 'alarm' }, 2_000_000).effects).toEqual([{ type: 'alarm', at: 2_010_000 }])
  })

  test('closes lines that were not let in yet', () => {
    const woken = stepTaskLog(initialTaskLog(), { type: 'woke', lines: [{ connection: 'w', attempt: 1, epoch: 1 }] }, 0)
    expect(woken.effects).toMatchObject([{ type: 'close', connection: 'w', code: closeCodes.tryAgain }])
  })

  test('with nothing owed does nothing', () => {
    const log = running()
    expect(stepTaskLog(initialTaskLog(log.durable()), { type: 'woke', lines: [] }, 0).effects).toEqual([])
    expect(log.step({ type: 'alarm' })).toEqual([])
  })
})
