// Bounds everything that comes from a provider before it is kept, so that no event and no cursor grows without limit.

import type { EventData } from '@rdev/shared/domain/event'
import { maxEventTextBytes } from '@rdev/shared/domain/limits'
import { truncateUtf8 } from '@rdev/shared/domain/text'
import type { AgentProvider } from '@rdev/shared/domain/code-agent'
import type { NewEvent } from '../ports.ts'

/** What no event type fits is kept for the curious, not for replay. */
export const maxRawBytes = 16 * 1024
/** The limit of text outside the protocol: enough for the beginning of a stack trace. */
export const maxWordsLength = 2048

const jsonBytes = (value: string): number => Buffer.byteLength(JSON.stringify(value))

/** Cut so that its JSON stays below `maxBytes`, with a marker that says how much is missing. */
export function boundText(value: string, maxBytes: number = maxEventTextBytes): string {
  // JSON makes at most six bytes of one UTF-16 unit, so short texts need no counting.
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
export function boundValue(value: unknown, maxBytes: number = maxEventTextBytes): unknown {
  const encoded = JSON.stringify(value) ?? 'null'
  if (encoded.length * 3 <= maxBytes || Buffer.byteLength(encoded) <= maxBytes) return value
  return { truncated: boundText(encoded, maxBytes) }
}

export const event = (type: NewEvent['type'], data: EventData): NewEvent => ({ type, data })

/** An event for what fits no other type, with a bounded size. */
export const raw = (provider: AgentProvider, type: string, data: unknown): NewEvent =>
  event('provider.raw', { provider, type, data: boundValue(data, maxRawBytes) })
