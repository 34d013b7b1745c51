// The sockets of a log's readers. A frame is the text of a stored batch, lines joined by newlines, sent as it is to each of them; deltas
// are lines without a seq (`- message.delta <json>`). A reader says how many characters it has taken; one that is more than 1 MiB behind
// is closed as `behind` and reads pages until it is near again: slowed, never skipped. What the object forgot while it slept counts as taken.

import { closeCodes } from '@rdev/shared/wire/limits'
import { closeSocket, sendOn } from '../sockets.ts'
import type { Batch } from './storage.ts'

/** Unread characters per reader: bounds what a slow client makes the runtime hold for it. */
export const maxBehindChars = 1024 * 1024

export type ReaderAttachment = { readonly role: 'reader'; readonly wants: 'lines' | 'deltas' | 'end' }

interface Reader {
  readonly socket: WebSocket
  readonly wants: ReaderAttachment['wants']
  queued: number
}

export class Readers {
  readonly #readers = new Map<WebSocket, Reader>()

  /** Also those that lived on while the object slept. */
  add(socket: WebSocket, { wants }: ReaderAttachment): void {
    this.#readers.set(socket, { socket, wants, queued: 0 })
  }

  /** What was stored before the reader came. */
  catchUp(socket: WebSocket, batches: Iterable<Batch>): void {
    const reader = this.#readers.get(socket)
    if (reader === undefined || reader.wants === 'end') return
    for (const { body } of batches) if (!this.#send(reader, body)) return
  }

  lines(batches: readonly Batch[]): void {
    for (const reader of this.#readers.values()) {
      if (reader.wants !== 'end') for (const { body } of batches) if (!this.#send(reader, body)) break
    }
  }

  deltas(deltas: readonly { readonly type: string; readonly data: unknown }[]): void {
    let frame: string | undefined
    for (const reader of this.#readers.values()) {
      if (reader.wants !== 'deltas') continue
      frame ??= deltas.map((delta) => `- ${delta.type} ${JSON.stringify(delta)}`).join('\n')
      if (frame !== '') this.#send(reader, frame)
    }
  }

  taken(socket: WebSocket, message: unknown): void {
    const reader = this.#readers.get(socket)
    const chars = typeof message === 'string' ? Number(message) : Number.NaN
    if (reader !== undefined && Number.isSafeInteger(chars) && chars > 0) reader.queued = Math.max(0, reader.queued - chars)
  }

  remove(socket: WebSocket): void {
    this.#readers.delete(socket)
  }

  /** The log is complete, and everyone was sent its last line. */
  complete(): void {
    for (const { socket } of this.#readers.values()) closeSocket(socket, closeCodes.ended, 'the log is complete')
    this.#readers.clear()
  }

  #send(reader: Reader, frame: string): boolean {
    if (reader.queued > 0 && reader.queued + frame.length > maxBehindChars) {
      this.#readers.delete(reader.socket)
      closeSocket(reader.socket, closeCodes.behind, 'too far behind')
      return false
    }
    reader.queued += frame.length
    sendOn(reader.socket, frame)
    return true
  }
}
