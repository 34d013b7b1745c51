// The sockets of a log's readers. A frame is the text of a stored batch, entries joined by newlines, sent unchanged to each reader; deltas
// are entries without a seq (`- message.delta <json>`). A reader reports how many characters it has taken. A reader more than 1 MiB behind is
// closed as `behind` and reads pages until it has caught up, so it is slowed and loses nothing. The count is lost when the object sleeps;
// everything sent before counts as taken then.

import { closeCodes } from '@rdev/shared/wire/limits'
import type { ObjectPlatform } from '../platform.ts'
import type { Batch } from './batches.ts'

/** Unread characters per reader: bounds the memory that a slow client takes. */
export const maxBehindChars = 1024 * 1024

export type ReaderAttachment = { readonly role: 'reader'; readonly wants: 'entries' | 'deltas' | 'end' }

interface Reader {
  readonly connection: string
  readonly wants: ReaderAttachment['wants']
  queued: number
}

export class Readers {
  readonly #sockets: Pick<ObjectPlatform<unknown, unknown, unknown>, 'send' | 'close'>
  readonly #readers = new Map<string, Reader>()

  constructor(sockets: Pick<ObjectPlatform<unknown, unknown, unknown>, 'send' | 'close'>) {
    this.#sockets = sockets
  }

  has(connection: string): boolean {
    return this.#readers.has(connection)
  }

  /** Called for new readers, and for those that survived the object's sleep. */
  add(connection: string, { wants }: ReaderAttachment): void {
    this.#readers.set(connection, { connection, wants, queued: 0 })
  }

  /** Sends what was stored before the reader came. */
  catchUp(connection: string, batches: Iterable<Batch>): void {
    const reader = this.#readers.get(connection)
    if (reader === undefined || reader.wants === 'end') return
    for (const { body } of batches) if (!this.#send(reader, body)) return
  }

  entries(batches: readonly Batch[]): void {
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

  taken(connection: string, message: unknown): void {
    const reader = this.#readers.get(connection)
    const chars = typeof message === 'string' ? Number(message) : Number.NaN
    if (reader !== undefined && Number.isSafeInteger(chars) && chars > 0) reader.queued = Math.max(0, reader.queued - chars)
  }

  remove(connection: string): void {
    this.#readers.delete(connection)
  }

  /** Closes all readers: the log is complete, and its last entry was sent to each. */
  complete(): void {
    for (const connection of this.#readers.keys()) this.#sockets.close(connection, closeCodes.ended, 'the log is complete')
    this.#readers.clear()
  }

  #send(reader: Reader, frame: string): boolean {
    if (reader.queued > 0 && reader.queued + frame.length > maxBehindChars) {
      this.#readers.delete(reader.connection)
      this.#sockets.close(reader.connection, closeCodes.behind, 'too far behind')
      return false
    }
    reader.queued += frame.length
    this.#sockets.send(reader.connection, frame)
    return true
  }
}
