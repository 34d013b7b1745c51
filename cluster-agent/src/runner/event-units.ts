// The events of one call of a code agent must be stored together with one cursor, but a frame has a limit. A larger call is sent in parts. The
// cursor of all parts but the last is the one before the call, plus the number of its events that are stored. When a code agent reads again
// from there, it emits the same events again, and the stored ones are left out.

import type { Cursor } from '@rdev/shared/domain/attempt'
import type { EncodedEvent } from '../ports.ts'

/** A frame holds 1 MiB: a part, a cursor of at most 320 KiB, and the JSON around them. */
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
