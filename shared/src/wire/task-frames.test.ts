import { expect, test } from 'vitest'
import { outcome } from '../domain/task.ts'
import { decodeFrame } from './codec.ts'
import { taskDownSchema, taskUpSchema } from './task-frames.ts'

const event = { type: 'output', time: '2026-11-23T08:00:00.000Z', data: { stream: 'stdout', text: 'x' } }
const decode = (events: unknown, more: object = {}) =>
  decodeFrame(taskUpSchema, JSON.stringify({ type: 'events', after: 0, cursor: { stdout: 1, stderr: 0 }, events, ...more }))

test('a frame of events decodes to what was sent', () => {
  const events = [event, { ...event, type: 'provider.raw', data: {} }, { ...event, time: '2028-02-29T23:59:59.999Z' }]
  expect(decode(events)).toEqual({ ok: true, frame: { type: 'events', after: 0, cursor: { stdout: 1, stderr: 0 }, events } })
  expect(decode([]).ok).toBe(true)
  expect(decode(Array.from({ length: 256 }, () => event)).ok).toBe(true)
})

test.each([
  ['no events', undefined],
  ['events that are no list', { 0: event, length: 1 }],
  ['more than a frame may have', Array.from({ length: 257 }, () => event)],
  ['an event that is null', [event, null]],
  ['an event that is a list', [[event]]],
  ['an unknown type', [{ ...event, type: 'task.invented' }]],
  ['a type that is not stored', [{ ...event, type: 'message.delta' }]],
  ['a type that every object has', [{ ...event, type: 'constructor' }]],
  ['no time', [{ type: 'output', data: {} }]],
  ['a time without milliseconds', [{ ...event, time: '2026-11-23T08:00:00Z' }]],
  ['a time of another zone', [{ ...event, time: '2026-11-23T08:00:00.000+01:00' }]],
  ['a day that does not exist', [{ ...event, time: '2026-02-30T08:00:00.000Z' }]],
  ['a time that hides another value', [{ ...event, time: '2026-11-23T08:00:00.000Z","x":"' }]],
  ['a later time that is invalid', [event, { ...event, time: 'now' }]],
  ['data that is a list', [{ ...event, data: [] }]],
  ['data that is a text', [{ ...event, data: 'x' }]],
  ['no data', [{ type: 'output', time: event.time }]],
])('a frame with %s is malformed', (_, events) => {
  expect(decode(events)).toEqual({ ok: false, reason: 'malformed' })
})

test('an outcome of an older agent without resets_at is understood', () => {
  const { resets_at: _, ...older } = outcome('failed', { error_code: 'RATE_LIMITED' })
  const read = (told: object) => decodeFrame(taskUpSchema, JSON.stringify({ type: 'result', after: 0, outcome: told }))
  expect(read(older)).toMatchObject({ ok: true, frame: { outcome: { resets_at: null } } })
  expect(read({ ...older, resets_at: 1_700_000_000_000 })).toMatchObject({ ok: true, frame: { outcome: { resets_at: 1_700_000_000_000 } } })
})

test('a frame is malformed by its other parts too', () => {
  expect(decode([event], { after: -1 })).toEqual({ ok: false, reason: 'malformed' })
  expect(decode([event], { cursor: { stdout: 'x', stderr: 0 } })).toEqual({ ok: false, reason: 'malformed' })
})

test('an unknown command of a newer log is ignored; a malformed known one is malformed', () => {
  const cancel = { type: 'cancel', grace_s: 5 }
  const resume = (pending: unknown) =>
    decodeFrame(
      taskDownSchema,
      JSON.stringify({ type: 'resume', received: 0, seq: 0, cursor: { stdout: 0, stderr: 0 }, pending, result: false }),
    )
  expect(resume([{ type: 'sing', song: 'la' }, cancel])).toMatchObject({ ok: true, frame: { pending: [cancel] } })
  expect(resume([{ type: 'cancel' }])).toEqual({ ok: false, reason: 'malformed' })
  expect(resume(['cancel'])).toEqual({ ok: false, reason: 'malformed' })
  expect(resume({})).toEqual({ ok: false, reason: 'malformed' })
})
