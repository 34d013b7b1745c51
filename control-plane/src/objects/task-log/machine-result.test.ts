import { outcome } from '@rdev/shared/domain/task'
import { closeCodes } from '@rdev/shared/wire/limits'
import { describe, expect, test } from 'vitest'
import { aLine, success, leased, running } from './fixtures.ts'
import { initialTaskLog, refusedAgainMs, stepTaskLog } from './machine.ts'

describe('the result', () => {
  // Found by the simulator: the answer of the finish was lost, a reader synced the log, and nothing told the hub that the task was queued again.
  test('the log pokes the hub for a row that was queued again without its knowledge; its own finish has poked already', () => {
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
    told.step({ type: 'finish_answered', task: told.row(queued) })
    expect(told.take('poke')).toEqual([])
  })

  test('is kept, acknowledged, and written to the row; task.finished comes from the row', () => {
    const log = running()
    log.events('a', 0, 'one')
    log.forget()
    log.result('a', 1)
    expect(log.sent()).toEqual([['a', { type: 'ack', received: 1, seq: 3, result: true }]])
    expect(log.take('finish')).toEqual([{ type: 'finish', attempt: 1, outcome: success }])
    expect(log.take('alarm')).toEqual([{ type: 'alarm', at: 1_010_000 }])
    expect(log.types()).not.toContain('task.finished')

    log.step({ type: 'finish_answered', task: log.row({ ...leased, status: 'succeeded', result: 'done', exit_code: 0 }) })
    expect(log.log.at(-1)).toMatchObject({
      seq: 4,
      type: 'task.finished',
      data: { status: 'succeeded', result: 'done', exit_code: 0, duration_ms: 1500 },
    })
    expect(log.take('alarm')).toEqual([{ type: 'alarm', at: null }])
    expect(log.take('complete')).toHaveLength(1)
    expect(log.closed()).toEqual([])
  })

  test('when repeated, it is acknowledged again and written to the row once', () => {
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

  test('while Postgres is away it is retried without end, with growing waits, and only one call at a time', () => {
    const log = running()
    log.result('a', 0)
    log.take('finish')
    const waits: number[] = []
    for (let i = 0; i < 12; i++) {
      log.take('alarm')
      log.step({ type: 'finish_failed', why: 'away' }, 0.999)
      waits.push(log.take('alarm')[0]!.at! - 1_000_000)
      log.step({ type: 'alarm' })
      log.step({ type: 'alarm' })
      expect(log.take('finish')).toHaveLength(1)
    }
    expect(waits.slice(0, 3)).toEqual([999, 1998, 3996])
    expect(waits.at(-1)).toBe(59940)
    log.step({ type: 'finish_answered', task: log.row({ ...leased, status: 'succeeded' }) })
    expect(log.types().at(-1)).toBe('task.finished')
  })

  test('what the row refuses is written without what it refused, keeping how the attempt ended', () => {
    const log = running()
    log.result('a', 0, outcome('succeeded', { exit_code: 0, result: 'words', provider_session_id: 'theirs', duration_ms: 7 }))
    log.forget()
    log.step({ type: 'finish_failed', why: 'data' })
    const [bare] = log.take('finish')
    expect(bare).toMatchObject({ attempt: 1, outcome: { status: 'succeeded', exit_code: 0, result: null, duration_ms: 7 } })
    expect(bare!.outcome.error).toMatch(/could not be stored/)
    expect(log.durable().result).toEqual(bare!.outcome)
    // A bare one that is refused too waits for another version of the program.
    log.forget()
    log.step({ type: 'finish_failed', why: 'data' })
    expect([log.take('finish'), log.take('alarm')]).toEqual([[], [{ type: 'alarm', at: 1_000_000 + refusedAgainMs }]])
  })

  test('a wrong statement loses nothing of the result, and is not repeated every minute', () => {
    const log = running()
    log.result('a', 0, outcome('succeeded', { exit_code: 0, result: 'words' }))
    log.forget()
    log.step({ type: 'finish_failed', why: 'statement' })
    expect([log.take('finish'), log.take('alarm')]).toEqual([[], [{ type: 'alarm', at: 1_000_000 + refusedAgainMs }]])
    expect(log.durable().result?.result).toBe('words')
  })

  test('a row that answers without having taken it is written again', () => {
    const log = running()
    log.result('a', 0)
    log.forget()
    log.step({ type: 'finish_answered', task: log.row(leased) }, 0.5)
    expect(log.take('alarm')).toEqual([{ type: 'alarm', at: 1_000_500 }])
  })

  test('retried by policy, the log goes on numbering and the attempt may still ask for its acknowledgement', () => {
    const log = running()
    log.events('a', 0, 'one')
    log.result('a', 1, outcome('failed', { error_code: 'AGENT_ERROR' }))
    log.step({ type: 'finish_answered', task: log.row({ status: 'queued', attempt: 1, run_after: 9000 }) })
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
    log.step({ type: 'finish_answered', task: log.row({ ...leased, status: 'succeeded' }) })
    log.forget()
    log.connect('b')
    expect(log.sent()).toMatchObject([['b', { type: 'resume', result: true }]])
    log.result('b', 0)
    expect(log.sent()).toMatchObject([['b', { type: 'ack', result: true }]])
    expect(log.take('finish')).toEqual([])
  })

  test('the log of a deleted row still ends', () => {
    const log = running()
    log.result('a', 0)
    log.step({ type: 'finish_answered', task: undefined })
    expect(log.log.at(-1)).toMatchObject({ type: 'task.finished', data: { status: 'succeeded' } })
    expect(log.durable().finished).toBe(true)
  })
})

describe('an attempt that is given up', () => {
  const lost = outcome('lost', { error_code: 'LOST' })

  test('ends as the hub says, and its line is closed', () => {
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
  test('goes on with its line, and writes the result that the row lacks', () => {
    const log = running()
    log.events('a', 0, 'one')
    log.result('a', 1)
    const woken = stepTaskLog(initialTaskLog(log.durable()), { type: 'woke', lines: [aLine()] }, { now: 2_000_000, random: 0 })
    expect(woken.state.line?.connection).toBe('a')
    expect(woken.effects).toEqual([{ type: 'finish', attempt: 1, outcome: success }])
    expect(stepTaskLog(woken.state, { type: 'alarm' }, { now: 2_000_000, random: 0 }).effects).toEqual([{ type: 'alarm', at: 2_010_000 }])
  })

  test('closes lines that were still waiting', () => {
    const woken = stepTaskLog(initialTaskLog(), { type: 'woke', lines: [{ ...aLine(), connection: 'w' }] }, { now: 0, random: 0 })
    expect(woken.effects).toMatchObject([{ type: 'close', connection: 'w', code: closeCodes.tryAgain }])
  })

  test('does nothing if the row has everything', () => {
    const log = running()
    expect(stepTaskLog(initialTaskLog(log.durable()), { type: 'woke', lines: [] }, { now: 0, random: 0 }).effects).toEqual([])
    expect(log.step({ type: 'alarm' })).toEqual([])
  })
})
