// Events as they leave for the log. First the one encoding of an event, with its size bounded: longer texts inside are cut, and say by how much;
// what is still too long for one line of a stream becomes several events.

import type { Cursor } from '@rdev/shared/domain/attempt'
import type { AttemptEvent, EventData } from '@rdev/shared/domain/event'
import { splitData } from '@rdev/shared/domain/event-parts'
import { maxDataBytes, maxEventBytes } from '@rdev/shared/domain/limits'
import { truncateUtf8 } from '@rdev/shared/domain/text'
import type { EncodedEvent, NewEvent } from '../ports.ts'

/** Below this a text is left alone: it is not what makes an event large. */
const smallestCutBytes = 256

/** The event, or its parts where it is too long for one line of a stream. The same event always gives the same parts. */
export function encodeEvents(event: NewEvent, time: string): readonly EncodedEvent[] {
  const whole = encode(event.type, time, event.data)
  if (whole.bytes <= maxDataBytes) return [whole]
  const data = whole.bytes <= maxEventBytes ? event.data : cutData(event.data, whole.bytes)
  return splitData(data).map((part) => encode(event.type, time, part))
}

/** An `AttemptEvent`; neither a type nor an instant has anything to escape. */
function encode(type: AttemptEvent['type'], time: string, data: EventData): EncodedEvent {
  const json = `{"type":"${type}","time":"${time}","data":${JSON.stringify(data)}}`
  return { json, bytes: Buffer.byteLength(json) }
}

/** Shortens the longest texts first: every text above a limit is cut to it, and the limit halves until the whole fits. */
function cutData(data: EventData, bytes: number): EventData {
  for (let limit = maxEventBytes / 2; limit >= smallestCutBytes; limit /= 2) {
    const cut = { ...(cutValue(data, limit) as EventData), truncated: true }
    if (Buffer.byteLength(JSON.stringify(cut)) <= maxEventBytes - 256) return cut
  }
  // Not long texts but very many small things.
  return { truncated: true, text: marked(JSON.stringify(data), maxEventBytes / 8), bytes }
}

function cutValue(value: unknown, limit: number): unknown {
  if (typeof value === 'string') return marked(value, limit)
  if (Array.isArray(value)) return value.map((item) => cutValue(item, limit))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, cutValue(item, limit)]))
}

function marked(text: string, maxBytes: number): string {
  const { text: kept, removed } = truncateUtf8(text, maxBytes)
  return removed === 0 ? text : `${kept}… [${removed} bytes cut]`
}

// What a code agent emits in one call must be stored together with one cursor, but a frame has a limit. A larger call leaves in parts; the cursor
// of all but the last is the one before the call, with a note of how many of its events are stored. Read again from there, a code agent says the
// same events again, and those are left out.

/** A frame holds 1 MiB: a part, a cursor of at most 320 KiB, and the rest. */
export const maxPartBytes = 600 * 1024
export const maxPartEvents = 200

const partKey = 'rdev_part'
interface PartState {
  readonly [partKey]: { readonly stored: number; readonly state?: unknown }
}

const isPart = (state: unknown): state is PartState => typeof state === 'object' && state !== null && partKey in state

/** The cursor as the code agent knows it, and how many of the next events the log already holds. */
export function openCursor(cursor: Cursor): { cursor: Cursor; stored: number } {
  if (!isPart(cursor.state)) return { cursor, stored: 0 }
  const { stored, state } = cursor.state[partKey]
  return { cursor: { stdout: cursor.stdout, stderr: cursor.stderr, ...(state === undefined ? {} : { state }) }, stored }
}

export interface Part {
  readonly events: readonly EncodedEvent[]
  readonly cursor: Cursor
}

/** `stored`: how many events since `before` the log already holds; they are not in `events`. */
export function partsOf(events: readonly EncodedEvent[], before: Cursor, after: Cursor, stored: number): Part[] {
  const groups: EncodedEvent[][] = [[]]
  let bytes = 0
  for (const event of events) {
    const last = groups.at(-1)!
    if (last.length > 0 && (bytes + event.bytes > maxPartBytes || last.length === maxPartEvents)) {
      groups.push([event])
      bytes = event.bytes
    } else {
      last.push(event)
      bytes += event.bytes
    }
  }
  let count = stored
  return groups.map((group, index) => {
    count += group.length
    if (index === groups.length - 1) return { events: group, cursor: after }
    const state: PartState = { [partKey]: { stored: count, ...(before.state === undefined ? {} : { state: before.state }) } }
    return { events: group, cursor: { stdout: before.stdout, stderr: before.stderr, state } }
  })
}
