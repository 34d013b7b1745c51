import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import type { EventData } from '@rdev/shared/domain/event'
import { joinData, splitData } from '@rdev/shared/domain/event-parts'
import { maxLineBytes } from '@rdev/shared/domain/limits'
import { outcome } from '@rdev/shared/domain/task'
import { utf8Length } from '@rdev/shared/domain/text'
import { closeCodes } from '@rdev/shared/wire/limits'
import { describe, expect, test } from 'vitest'
import { anActor } from '../../testing/actor.ts'
import type { LogItem } from '../../ports/task-logs.ts'
import { createTaskLogs } from './logs.ts'
import { events, objects, output } from '../object-fixtures.ts'

const logs = createTaskLogs(env.TASK_LOG, { bytes: (count) => new Uint8Array(count), chance: () => 0 })
const never = new AbortController().signal
const success = outcome('succeeded', { exit_code: 0, result: 'done', duration_ms: 12 })

/** Reads until `count` items came, or to the end. */
async function read(taskId: string, options: { after?: number; deltas?: boolean; count?: number } = {}): Promise<LogItem[]> {
  const { after = 0, deltas = false, count = Infinity } = options
  const items: LogItem[] = []
  for await (const batch of logs.follow(taskId, { after, deltas, signal: never })) {
    items.push(...batch)
    if (items.length >= count) break
  }
  return items
}
const seqs = (items: readonly LogItem[]) => items.map(({ seq }) => seq)
const upTo = (n: number, from = 1) => Array.from({ length: n - from + 1 }, (_, i) => from + i)

describe('the line', () => {
  test('events are numbered behind the row’s own, kept, and acknowledged', async () => {
    const { running } = await objects()
    const { task, attempt } = await running()
    attempt.send(events(0, 'one', 'two'))
    expect(await attempt.next()).toEqual({ type: 'ack', received: 2, seq: 4, result: false })
    const { lines, finished } = await logs.page(task.id, 0, 100)
    expect(finished).toBe(false)
    expect(lines.map(({ seq, type }) => `${seq} ${type}`)).toEqual(['1 task.queued', '2 task.leased', '3 output', '4 output'])
    expect(JSON.parse(lines[2]!.json)).toEqual({
      seq: 3,
      type: 'output',
      time: expect.any(String),
      task_id: task.id,
      attempt: 1,
      data: { stream: 'stdout', text: 'one' },
    })
  })

  test('a reader gets a long event of an older agent in lines that readers can take, stored and live', async () => {
    const { running } = await objects()
    const { task, attempt } = await running()
    const text = 'é"\u001b'.repeat(20_000)
    const parts = splitData({ stream: 'stdout', text }).length
    const live = read(task.id, { deltas: true, count: 2 + 2 * parts })
    attempt.send(events(0, text))
    expect(await attempt.next()).toMatchObject({ type: 'ack', received: 1 })
    attempt.send({ type: 'deltas', deltas: [{ type: 'message.delta', data: { text } }] })
    const items = await live
    const { lines } = await logs.page(task.id, 0, 100)
    expect(items.filter(({ seq }) => seq !== null)).toEqual(lines)
    for (const { json } of items) expect(utf8Length(json)).toBeLessThanOrEqual(maxLineBytes - 6)
    const dataOf = (type: string): readonly EventData[] =>
      items.filter((item) => item.type === type).map(({ json }) => (JSON.parse(json) as { data: EventData }).data)
    expect(joinData(dataOf('output'))).toEqual({ stream: 'stdout', text })
    expect(joinData(dataOf('message.delta'))).toEqual({ text })
  })

  test('an attempt that connects before its log knows of the lease finds the row’s events before its own', async () => {
    const { queue, claim, line } = await objects()
    await queue()
    const task = await claim()
    const attempt = await line(task)
    expect(await attempt.next()).toMatchObject({ type: 'resume', received: 0, seq: 2 })
    expect((await logs.page(task.id, 0, 10)).lines.map(({ type }) => type)).toEqual(['task.queued', 'task.leased'])
  })

  test('a repeated batch is acknowledged and not kept; a hole closes the line', async () => {
    const { running, line } = await objects()
    const { task, attempt } = await running()
    attempt.send(events(0, 'one'))
    attempt.send(events(0, 'one'))
    expect([await attempt.next(), await attempt.next()]).toMatchObject([{ received: 1 }, { received: 1 }])
    attempt.send(events(5, 'six'))
    expect(await attempt.closed()).toBe(closeCodes.gap)
    expect(await (await line(task)).next()).toMatchObject({ type: 'resume', received: 1, seq: 3, cursor: { stdout: 1 } })
  })

  test('a stale attempt, a stale epoch and an unknown attempt are refused; a newer line supersedes', async () => {
    const { running, line } = await objects()
    const { task, attempt } = await running()
    const newer = await line(task, 1, 2)
    expect(await newer.next()).toMatchObject({ type: 'resume' })
    expect(await attempt.closed()).toBe(closeCodes.superseded)
    expect(await (await line(task, 1, 1)).closed()).toBe(closeCodes.stale)
    expect(await (await line(task, 2, 9)).closed()).toBe(closeCodes.stale)
    newer.send(events(0, 'still here'))
    expect(await newer.next()).toMatchObject({ type: 'ack', received: 1 })
  })

  test('malformed, too large or foreign frames close it; unknown types do not', async () => {
    const { running, line } = await objects()
    const { task, attempt } = await running()
    attempt.text('{"type":"from_the_future"}')
    attempt.send(events(0, 'one'))
    expect(await attempt.next()).toMatchObject({ received: 1 })
    for (const text of ['{', '{"type":"events","after":-1}', JSON.stringify(events(1, 'x'.repeat(600_000))), 'x'.repeat(1_100_000)]) {
      const again = await line(task)
      await again.next()
      again.text(text)
      expect(await again.closed()).toBe(closeCodes.malformed)
    }
    expect(await (await line(task)).next()).toMatchObject({ received: 1 })
  })

  test('cancel goes down the line, and comes with every resume', async () => {
    const { running, log, line } = await objects()
    const { task, attempt } = await running()
    await log(task).cancel({ ...task, cancel_requested_at: 1 }, 3)
    expect(await attempt.next()).toEqual({ type: 'cancel', grace_s: 3 })
    attempt.close()
    expect(await (await line(task)).next()).toMatchObject({ type: 'resume', pending: [{ type: 'cancel', grace_s: 3 }] })
  })

  test('ping is answered without the object', async () => {
    const { running } = await objects()
    const { attempt } = await running()
    const pong = new Promise((resolve) => attempt.raw.addEventListener('message', ({ data }) => resolve(data)))
    attempt.text('ping')
    expect(await pong).toBe('pong')
  })
})

describe('the end', () => {
  test('the result goes to the row, and task.finished is the last entry once the row has it', async () => {
    const { running, row } = await objects()
    const { task, attempt } = await running()
    const all = read(task.id)
    attempt.send(events(0, 'one'))
    attempt.send({ type: 'result', after: 1, outcome: success })
    expect(await attempt.next()).toMatchObject({ type: 'ack', received: 1, result: false })
    expect(await attempt.next()).toMatchObject({ type: 'ack', received: 1, result: true })
    const items = await all
    expect(seqs(items)).toEqual([1, 2, 3, 4])
    expect(JSON.parse(items.at(-1)!.json)).toMatchObject({
      type: 'task.finished',
      data: { status: 'succeeded', result: 'done', exit_code: 0, duration_ms: 12 },
    })
    expect(await row(task)).toMatchObject({ status: 'succeeded', result: 'done' })
    expect(await logs.ended(task.id, 1_000, never)).toBe(true)
    expect(await logs.page(task.id, 4, 10)).toEqual({ lines: [], finished: true })
  })

  test('while Postgres is away the result waits, also through restarts, and the alarm writes it', async () => {
    const { running, world, log, row, line } = await objects()
    const { task, attempt } = await running()
    world.away = { when: 'before', only: 'finish' }
    attempt.send({ type: 'result', after: 0, outcome: success })
    expect(await attempt.next()).toMatchObject({ type: 'ack', result: true })
    await expect.poll(() => world.calls.filter((call) => call === 'finish').length).toBeGreaterThan(0)
    expect((await logs.page(task.id, 0, 10)).finished).toBe(false)
    await evictDurableObject(log(task))
    expect(await runDurableObjectAlarm(log(task))).toBe(true)
    expect(await runInDurableObject(log(task), (_, { storage }) => storage.getAlarm())).not.toBeNull()
    expect(await (await line(task)).next()).toMatchObject({ type: 'resume', result: true })

    world.away = { when: 'after', only: 'finish' }
    await runDurableObjectAlarm(log(task))
    expect(await row(task)).toMatchObject({ status: 'succeeded' })
    expect((await logs.page(task.id, 0, 10)).finished).toBe(false)

    world.away = null
    await runDurableObjectAlarm(log(task))
    expect((await logs.page(task.id, 0, 10)).lines.map(({ type }) => type)).toEqual(['task.queued', 'task.leased', 'task.finished'])
    expect(await runInDurableObject(log(task), (_, { storage }) => storage.getAlarm())).toBeNull()
  })

  test('retried by policy, the next attempt’s events go on in the same log', async () => {
    const { running, world, claim, line, log } = await objects()
    const { task, attempt } = await running({ retry: { max_attempts: 2, on: ['agent_error'] } })
    attempt.send(events(0, 'first'))
    attempt.send({ type: 'result', after: 1, outcome: outcome('failed', { error_code: 'AGENT_ERROR' }) })
    await expect.poll(async () => (await logs.page(task.id, 0, 10)).lines.at(-1)?.type).toBe('task.requeued')
    await world.stores.tasks.change(task.id, anActor(), (row) => ({ ...row, run_after: 0 }))
    const again = await claim()
    await log(again).sync(again)
    const second = await line(again, 2)
    expect(await second.next()).toMatchObject({ type: 'resume', received: 0, seq: 5 })
    second.send(events(0, 'second'))
    second.send({ type: 'result', after: 1, outcome: success })
    expect((await read(task.id)).map(({ type }) => type)).toEqual([
      'task.queued',
      'task.leased',
      'output',
      'task.requeued',
      'task.leased',
      'output',
      'task.finished',
    ])
  })

  test('an attempt that is given up keeps a result that was held', async () => {
    const { running, log, row, world } = await objects()
    const { task, attempt } = await running()
    world.away = { when: 'before', only: 'finish' }
    attempt.send({ type: 'result', after: 0, outcome: success })
    await attempt.next()
    world.away = null
    await log(task).end(task, outcome('lost', { error_code: 'LOST' }))
    await runDurableObjectAlarm(log(task))
    expect(await row(task)).toMatchObject({ status: 'succeeded' })
  })

  test('ended answers false in time, and true when the end comes meanwhile', async () => {
    const { running } = await objects()
    const { task, attempt } = await running()
    expect(await logs.ended(task.id, 20, never)).toBe(false)
    const soon = logs.ended(task.id, 20_000, never)
    attempt.send({ type: 'result', after: 0, outcome: success })
    expect(await soon).toBe(true)
  })
})

describe('readers', () => {
  test('from every `after`, each reader gets each entry once, stored before or live', async () => {
    const { running } = await objects()
    const { task, attempt } = await running()
    for (let i = 0; i < 10; i++) attempt.send(events(2 * i, `a${i}`, `b${i}`))
    const readers = upTo(24, 0).map((after) => read(task.id, { after }))
    for (let i = 10; i < 15; i++) attempt.send(events(2 * i, `a${i}`, `b${i}`))
    attempt.send({ type: 'result', after: 30, outcome: success })
    const all = await Promise.all(readers)
    const whole = all[0]!
    expect(seqs(whole)).toEqual(upTo(33))
    for (const [after, items] of all.entries()) expect(items).toEqual(whole.slice(after))
    for (const after of [0, 1, 7, 32]) {
      const paged: LogItem[] = []
      for (let from = after; ;) {
        const { lines, finished } = await logs.page(task.id, from, 3)
        paged.push(...lines)
        from = lines.at(-1)?.seq ?? from
        if (finished) break
      }
      expect(paged).toEqual(whole.slice(after))
    }
  })

  test('deltas reach those that asked, in order with the events', async () => {
    const { running } = await objects()
    const { task, attempt } = await running()
    const [with_, without] = [read(task.id, { deltas: true }), read(task.id)]
    // Both readers are connected once they have the stored events; then the delta is sent.
    await logs.page(task.id, 0, 1)
    attempt.send({ type: 'deltas', deltas: [{ type: 'message.delta', data: { text: 'h' } }] })
    attempt.send(events(0, 'h'))
    attempt.send({ type: 'result', after: 1, outcome: success })
    expect((await without).map(({ type }) => type)).toEqual(['task.queued', 'task.leased', 'output', 'task.finished'])
    const items = await with_
    expect(items.map(({ seq }) => seq)).toEqual([1, 2, null, 3, 4])
    expect(JSON.parse(items[2]!.json)).toEqual({ type: 'message.delta', data: { text: 'h' } })
  })

  test('a reader that takes nothing is slowed and misses nothing', async () => {
    const { running, log } = await objects()
    const { task, attempt } = await running()
    const stopped = logs.follow(task.id, { after: 0, deltas: false, signal: never })[Symbol.asyncIterator]()
    const items: LogItem[] = [...(await stopped.next()).value!]
    const big = 'x'.repeat(100_000)
    for (let i = 0; i < 40; i++) {
      attempt.send(events(i, big))
      await attempt.next()
    }
    // The object has closed it: only the attempt's own socket is left.
    expect(await runInDurableObject(log(task), (_, state) => state.getWebSockets().length)).toBe(1)
    attempt.send({ type: 'result', after: 40, outcome: success })
    for (;;) {
      const next = await stopped.next()
      if (next.done) break
      items.push(...next.value)
    }
    expect(seqs(items)).toEqual(upTo(3 + 40 * splitData(output(big).data).length))
  })

  test('a reader whose socket is cut again and again gets each entry once', async () => {
    const { running, log } = await objects()
    const { task, attempt } = await running()
    const all = read(task.id)
    for (let i = 0; i < 12; i++) {
      attempt.send(events(i, `line ${i}`))
      await attempt.next()
      if (i % 3 === 0) {
        await runInDurableObject(log(task), (_, state) => {
          for (const socket of state.getWebSockets()) if (socket.deserializeAttachment().role === 'reader') socket.close(1001)
        })
      }
    }
    attempt.send({ type: 'result', after: 12, outcome: success })
    expect(seqs(await all)).toEqual(upTo(15))
  })

  test('a reader that goes away closes its socket', async () => {
    const { running, log } = await objects()
    const { task } = await running()
    const gone = new AbortController()
    const reader = logs.follow(task.id, { after: 0, deltas: false, signal: gone.signal })[Symbol.asyncIterator]()
    await reader.next()
    const next = reader.next()
    gone.abort()
    expect((await next).done).toBe(true)
    const sockets = () => runInDurableObject(log(task), (_, state) => state.getWebSockets().length)
    await expect.poll(sockets).toBe(1)
  })

  test('a batch of any size is kept in rows that fit, and read whole', async () => {
    const { running } = await objects()
    const { task, attempt } = await running()
    const frame = { ...events(0), events: upTo(8).map((i) => output(`${i}${'é'.repeat(100_000)}`)), cursor: { stdout: 8, stderr: 0 } }
    attempt.send(frame as never)
    expect(await attempt.next()).toMatchObject({ received: 8 })
    attempt.send({ type: 'result', after: 8, outcome: success })
    const parts = frame.events.flatMap(({ data }) => splitData(data)).length
    expect(parts).toBeGreaterThan(8)
    expect(seqs(await read(task.id))).toEqual(upTo(3 + parts))
  })
})

describe('an object evicted between any two frames', () => {
  test('goes on exactly where it was: numbers, line, cancel, readers', async () => {
    const { running, log } = await objects()
    const { task, attempt } = await running()
    const evict = () => evictDurableObject(log(task))
    const all = read(task.id)
    await evict()
    attempt.send(events(0, 'one', 'two'))
    expect(await attempt.next()).toMatchObject({ received: 2, seq: 4 })
    await evict()
    attempt.send(events(0, 'one', 'two'))
    expect(await attempt.next()).toMatchObject({ received: 2, seq: 4 })
    await evict()
    await log(task).cancel({ ...task, cancel_requested_at: 1 }, 3)
    expect(await attempt.next()).toMatchObject({ type: 'cancel' })
    await evict()
    attempt.send(events(2, 'three'))
    expect(await attempt.next()).toMatchObject({ received: 3 })
    await evict()
    attempt.send({ type: 'result', after: 3, outcome: outcome('cancelled', { error_code: 'CANCELLED' }) })
    expect(await attempt.next()).toMatchObject({ result: true })
    expect(seqs(await all)).toEqual(upTo(6))
  })

  test('with its sockets lost too, line and readers come back', async () => {
    const { running, log, line } = await objects()
    const { task, attempt } = await running()
    const all = read(task.id)
    attempt.send(events(0, 'one'))
    await attempt.next()
    await evictDurableObject(log(task), { webSockets: 'close' })
    const again = await line(task, 1, 2)
    expect(await again.next()).toMatchObject({ type: 'resume', received: 1, seq: 3, cursor: { stdout: 1 } })
    again.send(events(1, 'two'))
    again.send({ type: 'result', after: 2, outcome: success })
    expect(seqs(await all)).toEqual(upTo(5))
  })
})
