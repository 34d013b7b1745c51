// Encodes an event with a bounded size: long texts inside are cut, and say how many bytes were removed.

import type { AttemptEvent, EventData } from '@rdev/shared/domain/event'
import { maxEventBytes } from '@rdev/shared/domain/event'
import { truncateUtf8 } from '@rdev/shared/domain/text'
import type { EncodedEvent, NewEvent } from '../ports.ts'

/** A shorter text is not cut. */
const smallestCutBytes = 256

export function encodeEvent(event: NewEvent, time: string): EncodedEvent {
  const whole = encode(event.type, time, event.data)
  return whole.bytes <= maxEventBytes ? whole : encode(event.type, time, cutData(event.data, whole.bytes))
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
  // The event is large because of very many small values: keep the beginning of its JSON as text.
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
