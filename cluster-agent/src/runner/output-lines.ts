// The output of a plain command as `output` events, in whole lines. An unfinished line is emitted after a short silence (a prompt, a progress
// bar) or when it grows too long. A UTF-8 character is never divided, and bytes that are not UTF-8 are replaced. Every event has the cursor
// after its last byte, so reading can go on from any of them.

import type { Cursor } from '@rdev/shared/domain/attempt'
import type { Chunk, NewEvent } from '../ports.ts'

/** JSON encodes one byte in at most six, so an event stays below its limit whatever the bytes are. */
export const maxOutputTextBytes = 32 * 1024
/** An unfinished line is emitted after this much silence. */
export const silenceMs = 100

interface Held {
  offset: number
  bytes: Buffer
}

const newline = 0x0a

/** How many bytes at the end belong to a character that is not complete yet: 0 to 3. */
export function incompleteTail(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!
    if ((byte & 0xc0) === 0x80) continue
    const size = byte >= 0xf0 && byte < 0xf8 ? 4 : byte >= 0xe0 && byte < 0xf0 ? 3 : byte >= 0xc2 && byte < 0xe0 ? 2 : 1
    return size > back ? back : 0
  }
  return 0
}

export class OutputLines {
  #cursor: Cursor
  readonly #held: Record<'stdout' | 'stderr', Held>

  constructor(cursor: Cursor) {
    this.#cursor = { stdout: cursor.stdout, stderr: cursor.stderr }
    this.#held = {
      stdout: { offset: cursor.stdout, bytes: Buffer.alloc(0) },
      stderr: { offset: cursor.stderr, bytes: Buffer.alloc(0) },
    }
  }

  get holds(): boolean {
    return this.#held.stdout.bytes.length > 0 || this.#held.stderr.bytes.length > 0
  }

  /** Takes a chunk. Answers everything up to the last newline; of a line without one, what is above the limit of an event. */
  push(chunk: Chunk): { event: NewEvent; cursor: Cursor }[] {
    const held = this.#held[chunk.stream]
    // Bytes that come again after a reconnect are left out.
    const fresh = chunk.bytes.subarray(Math.max(0, held.offset + held.bytes.length - chunk.offset))
    held.bytes = held.bytes.length === 0 ? fresh : Buffer.concat([held.bytes, fresh])
    const whole = held.bytes.lastIndexOf(newline) + 1
    return this.#take(chunk.stream, whole, false)
  }

  /** What is held, without a character that is not complete yet; if the output has `ended`, all of it. */
  flush(ended: boolean): { event: NewEvent; cursor: Cursor }[] {
    return (['stdout', 'stderr'] as const).flatMap((stream) => {
      const { bytes } = this.#held[stream]
      return this.#take(stream, bytes.length - (ended ? 0 : incompleteTail(bytes)), ended)
    })
  }

  #take(stream: 'stdout' | 'stderr', whole: number, ended: boolean): { event: NewEvent; cursor: Cursor }[] {
    const held = this.#held[stream]
    const events: { event: NewEvent; cursor: Cursor }[] = []
    let from = 0
    while (from < whole || held.bytes.length - from > maxOutputTextBytes) {
      const to = this.#end(held.bytes, from, whole, ended)
      const text = held.bytes.toString('utf8', from, to)
      this.#cursor = { ...this.#cursor, [stream]: held.offset + to }
      events.push({ event: { type: 'output', data: { stream, text } }, cursor: this.#cursor })
      from = to
    }
    // A copy, so that a small rest does not keep a large chunk in memory.
    held.bytes = Buffer.from(held.bytes.subarray(from))
    held.offset += from
    return events
  }

  /** Where the event that begins at `from` ends: after all whole lines if they fit, else after the last newline or character that fits. */
  #end(bytes: Buffer, from: number, whole: number, ended: boolean): number {
    if (whole > from && whole - from <= maxOutputTextBytes) return whole
    const limit = Math.min(bytes.length, from + maxOutputTextBytes)
    const line = bytes.lastIndexOf(newline, limit - 1) + 1
    if (line > from) return line
    const last = ended && limit === bytes.length
    return limit - (last ? 0 : incompleteTail(bytes.subarray(from, limit)))
  }
}
