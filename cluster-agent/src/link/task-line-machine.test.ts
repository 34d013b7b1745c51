import { expect, test } from 'vitest'
import { startCursor } from '@rdev/shared/domain/attempt'
import { outcome } from '@rdev/shared/domain/task'
import { closeCodes, maxBatchBytes, maxBatchEvents, maxBatchWaitMs, maxUnackedBytes } from '@rdev/shared/wire/limits'
import type { TaskDown } from '@rdev/shared/wire/task-frames'
import type { LineEffect, LineInput, LineState, Unit } from './task-line-machine.ts'
import { hasRoom, maxUnackedUnits, newLine, stepLine } from './task-line-machine.ts'

const unit = (n: number, bytes = 10): Unit => ({ events: [`e${n}`], cursor: { stdout: n, stderr: 0 }, bytes })
const done = outcome('succeeded', { exit_code: 0 })

function setup() {
  let state: LineState = newLine({ received: 0, cursor: startCursor })
  let effects: readonly LineEffect[] = []
  const feed = (input: LineInput, now = 0) => {
    ;({ state, effects } = stepLine(state, input, { now, random: 0 }))
    return effects
  }
  const resume = (at: number, more: { result?: boolean; pending?: { type: 'cancel'; grace_s: number }[] } = {}) =>
    feed({
      type: 'frame',
      frame: { type: 'resume', received: at, seq: at + 2, cursor: { stdout: at, stderr: 0 }, pending: [], result: false, ...more },
    })
  return {
    feed,
    resume,
    emit: (...units: Unit[]) => units.flatMap((one) => feed({ type: 'emit', unit: one })),
    ack: (at: number, result = false) => feed({ type: 'frame', frame: { type: 'ack', received: at, seq: at + 2, result } }),
    up: (at = 0) => {
      feed({ type: 'opened' })
      return resume(at)
    },
    get state() {
      return state
    },
  }
}

const sent = (effects: readonly LineEffect[]) => effects.filter((effect) => effect.type === 'events')
const events = (effects: readonly LineEffect[]) => sent(effects).flatMap((effect) => effect.events)

test('nothing is sent before the resume; then everything is, in order', () => {
  const it = setup()
  expect(it.emit(unit(1), unit(2))).toEqual([])
  it.feed({ type: 'opened' })
  expect(it.emit(unit(3))).toEqual([])
  const effects = it.resume(0)
  expect(effects[0]).toEqual({ type: 'confirmed' })
  expect(sent(effects)).toEqual([{ type: 'events', after: 0, cursor: { stdout: 3, stderr: 0 }, events: ['e1', 'e2', 'e3'] }])
})

test('an event is sent at once if nothing is unacknowledged; otherwise events wait and are sent together', () => {
  const it = setup()
  it.up()
  expect(events(it.emit(unit(1)))).toEqual(['e1'])
  expect(it.emit(unit(2))).toEqual([{ type: 'flush_timer', inMs: maxBatchWaitMs }])
  expect(it.emit(unit(3))).toEqual([])
  expect(sent(it.ack(1))).toEqual([{ type: 'events', after: 1, cursor: { stdout: 3, stderr: 0 }, events: ['e2', 'e3'] }])
})

test('the timer sends what waits; a late timer sends nothing', () => {
  const it = setup()
  it.up()
  it.emit(unit(1), unit(2))
  expect(events(it.feed({ type: 'flush' }))).toEqual(['e2'])
  expect(it.feed({ type: 'flush' })).toEqual([])
})

test('a full batch does not wait: by number, by bytes', () => {
  const it = setup()
  it.up()
  it.emit(unit(0))
  const many = it.emit(...Array.from({ length: maxBatchEvents }, (_, i) => unit(i + 1)))
  expect(sent(many)).toHaveLength(1)
  expect(events(many)).toHaveLength(maxBatchEvents)
  const large = it.emit(unit(100, maxBatchBytes - 1), unit(101, 2))
  expect(events(large)).toEqual(['e100'])
})

test('the events of one unit are sent in one batch, whatever their size', () => {
  const it = setup()
  it.up()
  const big: Unit = { events: Array.from({ length: 100 }, (_, i) => `b${i}`), cursor: { stdout: 9, stderr: 0 }, bytes: 4 * maxBatchBytes }
  const effects = it.emit(unit(1), big)
  expect(sent(effects).map((effect) => effect.events.length)).toEqual([1, 100])
})

test('late, repeated and partial acknowledgements', () => {
  const it = setup()
  it.up()
  it.emit(unit(1))
  it.emit(unit(2))
  it.feed({ type: 'flush' })
  it.ack(2)
  expect(it.state).toMatchObject({ acked: 2, units: [], unackedBytes: 0 })
  const before = it.state
  expect(it.ack(1)).toEqual([])
  expect(it.ack(2)).toEqual([])
  expect(it.state).toEqual(before)
})

test('an acknowledgement of what was never sent, or of half a unit, ends the connection', () => {
  const beyond = setup()
  beyond.up()
  beyond.emit(unit(1), unit(2))
  expect(beyond.ack(2)).toMatchObject([{ type: 'drop', code: closeCodes.gap }])

  const half = setup()
  half.up()
  half.emit({ events: ['a', 'b'], cursor: { stdout: 2, stderr: 0 }, bytes: 2 })
  expect(half.ack(1)).toMatchObject([{ type: 'drop', code: closeCodes.gap }])
})

test('after a lost connection exactly the events that the log lacks are sent again', () => {
  const it = setup()
  it.up()
  it.emit(unit(1), unit(2), unit(3))
  it.feed({ type: 'flush' })
  it.feed({ type: 'lost', code: 1006 })
  it.emit(unit(4))
  it.feed({ type: 'opened' })
  const effects = it.resume(2)
  expect(sent(effects)).toEqual([{ type: 'events', after: 2, cursor: { stdout: 4, stderr: 0 }, events: ['e3', 'e4'] }])
  expect(effects.some((effect) => effect.type === 'restart')).toBe(false)
})

test('nothing is sent again to a log that holds everything', () => {
  const it = setup()
  it.up()
  it.emit(unit(1))
  it.feed({ type: 'lost', code: closeCodes.gap })
  it.feed({ type: 'opened' })
  expect(sent(it.resume(1))).toEqual([])
  expect(it.state.units).toEqual([])
})

test('a line without a position is told it, and reads from the cursor of the log', () => {
  const opened = stepLine(newLine(undefined), { type: 'opened' }, { now: 0, random: 0 }).state
  const { effects, state } = stepLine(
    opened,
    { type: 'frame', frame: { type: 'resume', received: 7, seq: 9, cursor: { stdout: 70, stderr: 1 }, pending: [], result: false } },
    { now: 0, random: 0 },
  )
  expect(effects).toEqual([{ type: 'confirmed' }, { type: 'restart', received: 7, cursor: { stdout: 70, stderr: 1 } }])
  expect(state).toMatchObject({ phase: 'up', acked: 7 })
})

test.each([
  ['went back behind what it had acknowledged', 1],
  ['holds more than was ever emitted', 9],
  ['stands inside of a unit', 3],
])('a log that %s causes a restart from its cursor, and everything held is forgotten', (_, received) => {
  const it = setup()
  it.up()
  it.emit(unit(1))
  it.ack(1)
  it.emit(unit(2))
  it.ack(2)
  it.emit({ events: ['x', 'y'], cursor: { stdout: 4, stderr: 0 }, bytes: 2 })
  it.feed({ type: 'result', outcome: done })
  it.feed({ type: 'lost', code: 1006 })
  it.feed({ type: 'opened' })
  expect(it.resume(received)).toEqual([{ type: 'confirmed' }, { type: 'restart', received, cursor: { stdout: received, stderr: 0 } }])
  expect(it.state).toMatchObject({ acked: received, units: [], outcome: undefined })
  expect(sent(it.emit(unit(5)))).toMatchObject([{ after: received }])
})

test('a log with the same number of events but another cursor was written by another agent: restart', () => {
  const it = setup()
  it.up()
  it.emit(unit(1), unit(2))
  it.feed({ type: 'lost', code: closeCodes.superseded })
  it.feed({ type: 'opened' })
  const frame = { type: 'resume', received: 2, seq: 4, cursor: { stdout: 2, stderr: 9 }, pending: [], result: false } satisfies TaskDown
  expect(it.feed({ type: 'frame', frame })).toContainEqual({ type: 'restart', received: 2, cursor: frame.cursor })
})

test('the result follows the last event, on every connection until it is acknowledged', () => {
  const it = setup()
  it.up()
  it.emit(unit(1), unit(2))
  expect(it.feed({ type: 'result', outcome: done }).map((effect) => effect.type)).toEqual(['events', 'result'])
  it.feed({ type: 'lost', code: 1006 })
  it.feed({ type: 'opened' })
  const effects = it.resume(2)
  expect(effects).toEqual([{ type: 'confirmed' }, { type: 'result', after: 2, outcome: done }])
  expect(it.ack(2)).toEqual([])
  expect(it.ack(2, true)).toEqual([{ type: 'finished', how: 'acked' }])
  expect(it.state.phase).toBe('over')
})

test('a result that the log already holds ends the line at resume', () => {
  const it = setup()
  it.feed({ type: 'opened' })
  expect(it.resume(3, { result: true })).toEqual([{ type: 'confirmed' }, { type: 'finished', how: 'acked' }])
  expect(it.emit(unit(1))).toEqual([])
})

test('commands are passed on; pending ones after every resume', () => {
  const it = setup()
  it.feed({ type: 'opened' })
  const cancel = { type: 'cancel', grace_s: 5 } as const
  expect(it.resume(0, { pending: [cancel] })).toContainEqual({ type: 'command', command: cancel })
  expect(it.feed({ type: 'frame', frame: cancel })).toEqual([{ type: 'command', command: cancel }])
  it.feed({ type: 'lost', code: 1006 })
  it.feed({ type: 'opened' })
  expect(it.resume(0, { pending: [cancel] })).toContainEqual({ type: 'command', command: cancel })
})

test('a line with a refused token waits for a fresh one; a superseded or cut line does not', () => {
  for (const code of [closeCodes.stale, closeCodes.unauthorized]) {
    const it = setup()
    it.up()
    it.emit(unit(1))
    expect(it.feed({ type: 'lost', code })).toEqual([{ type: 'refused' }])
    expect(it.state.units).toHaveLength(1)
  }
  for (const code of [closeCodes.superseded, closeCodes.gap, 1006, 1001]) {
    const it = setup()
    it.up()
    expect(it.feed({ type: 'lost', code })).toEqual([])
  }
})

test('a log that is complete without this attempt ends the line', () => {
  const it = setup()
  it.up()
  expect(it.feed({ type: 'lost', code: closeCodes.ended })).toEqual([{ type: 'finished', how: 'ended' }])
})

test('frames that come at the wrong time are ignored', () => {
  const it = setup()
  expect(it.ack(0)).toEqual([])
  expect(it.resume(0)).toEqual([])
  it.up()
  it.emit(unit(1))
  expect(it.resume(0)).toEqual([])
  expect(it.state.units).toHaveLength(1)
})

test('deltas go out only while the line is up', () => {
  const it = setup()
  expect(it.feed({ type: 'delta', data: { text: 'a' } })).toEqual([])
  it.up()
  expect(it.feed({ type: 'delta', data: { text: 'b' } })).toEqual([{ type: 'deltas', deltas: [{ text: 'b' }] }])
})

test('the window is full at 1 MiB or at its number of units, connected or not, and empties with acknowledgements', () => {
  const it = setup()
  it.up()
  it.emit(unit(1, maxUnackedBytes - 10))
  expect(hasRoom(it.state, 10)).toBe(true)
  expect(hasRoom(it.state, 11)).toBe(false)
  it.ack(1)
  expect(hasRoom(it.state, maxUnackedBytes * 2)).toBe(true)
  it.feed({ type: 'lost', code: 1006 })
  for (let i = 0; i < maxUnackedUnits; i++) it.emit(unit(i))
  expect(hasRoom(it.state, 1)).toBe(false)
})

test('every event arrives once and in order through cuts at every frame', () => {
  // The log as the protocol describes it, and a line that is cut after each number of frames.
  for (let cutAfter = 1; cutAfter <= 12; cutAfter++) {
    const held: string[] = []
    const it = setup()
    let frames = 0
    let next = 1
    const receive = (effects: readonly LineEffect[]) => {
      for (const effect of sent(effects)) {
        // The frame is stored, but its acknowledgement may be lost with the connection.
        if (effect.after === held.length) held.push(...effect.events)
        if (++frames % cutAfter === 0) {
          it.feed({ type: 'lost', code: 1006 })
          return
        }
        receive(it.ack(held.length))
      }
    }
    while (held.length < 40) {
      if (it.state.phase === 'down') {
        it.feed({ type: 'opened' })
        receive(it.resume(held.length))
      } else receive(it.feed({ type: 'flush' }))
      if (next <= 40) receive(it.emit(unit(next++)))
    }
    expect(held).toEqual(Array.from({ length: 40 }, (_, i) => `e${i + 1}`))
  }
})
