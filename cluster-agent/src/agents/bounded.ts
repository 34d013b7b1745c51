// Bounds everything that comes from a provider before it is kept, so that no event and no cursor grows without limit.

import type { EventData } from '@rdev/shared/domain/event'
import { truncateUtf8 } from '@rdev/shared/domain/text'
import type { AgentProvider } from '@rdev/shared/domain/code-agent'
import type { NewEvent } from '../ports.ts'

/** The limit of one text in an event, as JSON; with the other fields it stays below `maxEventBytes`. */
export const maxTextBytes = 160 * 1024
/** The limit of a `provider.raw` event, which readers may look at and nothing depends on. */
export const maxRawBytes = 16 * 1024
/** The limit of text outside the protocol: enough for the beginning of a stack trace. */
export const maxWordsLength = 2048

const jsonBytes = (value: string): number => Buffer.byteLength(JSON.stringify(value))

/** Cuts a text so that its JSON stays below `maxBytes`, with a marker that says how much is missing. */
export function boundText(value: string, maxBytes: number = maxTextBytes): string {
  // JSON encodes a UTF-16 unit in at most six bytes, so short texts need not be counted.
  if (value.length * 6 <= maxBytes || (value.length <= maxBytes && jsonBytes(value) <= maxBytes)) return value
  let room = maxBytes
  for (;;) {
    const { text, removed } = truncateUtf8(value, room)
    // Control characters and quotes grow in JSON. Halving ends at a sixth of the room at the latest.
    if (jsonBytes(text) <= maxBytes) return removed === 0 ? text : `${text}\n… [${removed} bytes removed]`
    room = Math.floor(room / 2)
  }
}

/** The value itself if its JSON is small enough, else the beginning of its JSON as text. */
export function boundValue(value: unknown, maxBytes: number = maxTextBytes): unknown {
  const encoded = JSON.stringify(value) ?? 'null'
  if (encoded.length * 3 <= maxBytes || Buffer.byteLength(encoded) <= maxBytes) return value
  return { truncated: boundText(encoded, maxBytes) }
}

export const event = (type: NewEvent['type'], data: EventData): NewEvent => ({ type, data })

/** An event for what fits no other type, with a bounded size. */
export const raw = (provider: AgentProvider, type: string, data: unknown): NewEvent =>
  event('provider.raw', { provider, type, data: boundValue(data, maxRawBytes) })
