// A log's events as they are stored and sent to readers: batches of entries (`<seq> <type> <json>`), joined by newlines. A batch is encoded
// once, when it is stored; every reader and every format gets those bytes.

import type { TaskEvent } from '@rdev/shared/domain/event'

/** A row of SQLite holds 2 MB of UTF-8; this many UTF-16 units never exceed it. */
export const maxRowChars = 512 * 1024

export interface Batch {
  readonly first: number
  readonly last: number
  readonly body: string
}

/** JSON has no raw newline and neither seq nor type has a space, so an entry needs no escaping. */
export const encodeEntry = ({ seq, type, time, task_id, attempt, data }: TaskEvent): string =>
  `${seq} ${type} {"seq":${seq},"type":"${type}","time":"${time}","task_id":"${task_id}","attempt":${attempt},"data":${JSON.stringify(data)}}`

export function encodeBatches(events: readonly TaskEvent[]): Batch[] {
  const batches: Batch[] = []
  let entries: string[] = []
  let chars = 0
  let first = 0
  let last = 0
  const flush = () => {
    if (entries.length > 0) batches.push({ first, last, body: entries.join('\n') })
    entries = []
    chars = 0
  }
  for (const event of events) {
    const entry = encodeEntry(event)
    if (chars + entry.length > maxRowChars) flush()
    if (entries.length === 0) first = event.seq
    last = event.seq
    entries.push(entry)
    chars += entry.length + 1
  }
  flush()
  return batches
}

/** Entries after `after`, one part per row. `rows` must begin with the row that holds entry `after`, or with the next one. */
export function* entriesAfter(rows: Iterable<Batch>, after: number): Generator<Batch, void> {
  for (const row of rows) {
    yield row.first > after ? row : { first: after + 1, last: row.last, body: dropEntries(row.body, after - row.first + 1) }
  }
}

/** At most `limit` entries and about `maxRowChars` characters, but at least one entry if there is one. */
export function pageOf(rows: Iterable<Batch>, after: number, limit: number): { body: string; last: number } {
  const bodies: string[] = []
  let last = after
  let chars = 0
  for (const batch of entriesAfter(rows, after)) {
    if (bodies.length > 0 && chars + batch.body.length > maxRowChars) break
    const room = limit - (last - after)
    const count = batch.last - batch.first + 1
    bodies.push(count <= room ? batch.body : keepEntries(batch.body, room))
    last += Math.min(count, room)
    chars += batch.body.length
    if (last - after >= limit) break
  }
  return { body: bodies.join('\n'), last }
}

/** Where the entry after `count` entries begins. */
function offsetOf(body: string, count: number): number {
  let offset = 0
  for (let i = 0; i < count; i++) offset = body.indexOf('\n', offset) + 1
  return offset
}
const dropEntries = (body: string, count: number): string => body.slice(offsetOf(body, count))
const keepEntries = (body: string, count: number): string => body.slice(0, offsetOf(body, count) - 1)
