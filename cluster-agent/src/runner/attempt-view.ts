// The attempt as its code agent sees it, for one reading from one position of the log. When the runner releases it, every method becomes inert:
// a code agent that goes on can neither write to the log nor touch the process.

import type { Assignment, Cursor, ExitRecord } from '@rdev/shared/domain/attempt'
import type { EventData } from '@rdev/shared/domain/event'
import type { Pod } from '@rdev/shared/domain/pod'
import type { Attempt, Chunk, EncodedEvent, LogPosition, NewEvent, ProcessSpec } from '../ports.ts'
import { encodeEvents, openCursor, partsOf } from './encoded-events.ts'

/** What the view needs from its AttemptRun. */
export interface ViewOwner {
  start(spec: ProcessSpec): Promise<void>
  follow(from: Cursor, signal: AbortSignal): AsyncIterable<Chunk>
  exited(): Promise<ExitRecord>
  stop(): Promise<void>
  emit(events: readonly EncodedEvent[], cursor: Cursor): Promise<void>
  stored(): Promise<void>
  delta(data: EventData): void
  connect(port: number): ReturnType<Attempt['connect']>
  readNote(note: string): Promise<string | undefined>
  writeNote(note: string, text: string): Promise<void>
  now(): number
  after(ms: number, run: () => void): () => void
  /** Output was read or an event emitted. */
  active(): void
}

export class AttemptView implements Attempt {
  readonly name: string
  readonly assignment: Assignment
  readonly pod: Pod
  readonly cursor: Cursor
  readonly signal: AbortSignal
  readonly #owner: ViewOwner
  readonly #ending = new AbortController()
  readonly #released = new AbortController()
  #last: Cursor
  /** Events since `#last` that the log holds already. */
  #stored: number
  #blocked = 0

  constructor(owner: ViewOwner, facts: { name: string; assignment: Assignment; pod: Pod }, at: LogPosition) {
    const { cursor, stored } = openCursor(at.cursor)
    this.name = facts.name
    this.assignment = facts.assignment
    this.pod = facts.pod
    this.cursor = cursor
    this.signal = this.#ending.signal
    this.#owner = owner
    this.#last = cursor
    this.#stored = stored
  }

  /** The code agent waits for the log, so the silence is not the process's. */
  get blocked(): boolean {
    return this.#blocked > 0
  }

  get released(): boolean {
    return this.#released.signal.aborted
  }

  interrupt(): void {
    this.#ending.abort()
  }

  letGo(): void {
    this.#released.abort()
    this.#ending.abort()
  }

  async process(spec: ProcessSpec): Promise<void> {
    if (!this.released) await this.#owner.start(spec)
  }

  async *output(): AsyncIterable<Chunk> {
    if (this.released) return
    for await (const chunk of this.#owner.follow(this.cursor, this.#released.signal)) {
      if (this.released) return
      this.#owner.active()
      yield chunk
    }
  }

  exited(): Promise<ExitRecord> {
    return this.#owner.exited()
  }

  async stop(): Promise<void> {
    if (!this.released) await this.#owner.stop()
  }

  async emit(events: readonly NewEvent[], cursor: Cursor): Promise<void> {
    if (this.released) return
    this.#owner.active()
    const time = new Date(this.#owner.now()).toISOString()
    const all = events.flatMap((event) => encodeEvents(event, time))
    const known = Math.min(this.#stored, all.length)
    const encoded = all.slice(known)
    const parts = partsOf(encoded, this.#last, cursor, known)
    this.#last = cursor
    this.#stored -= known
    // A cursor without events need not be stored: reading again from the one before gives no event twice.
    if (encoded.length === 0) return
    this.#blocked++
    // All parts are emitted without awaiting, so that no event of another call comes between them.
    await Promise.all(parts.map((part) => this.#owner.emit(part.events, part.cursor)))
    this.#blocked--
    this.#owner.active()
  }

  async stored(): Promise<void> {
    if (this.released) return
    this.#blocked++
    await this.#owner.stored()
    this.#blocked--
    this.#owner.active()
  }

  delta(data: EventData): void {
    if (this.released) return
    this.#owner.active()
    this.#owner.delta(data)
  }

  connect(port: number): ReturnType<Attempt['connect']> {
    return this.released ? Promise.reject(new Error('this reading of the attempt has ended')) : this.#owner.connect(port)
  }

  readNote(note: string): Promise<string | undefined> {
    return this.#owner.readNote(note)
  }

  async writeNote(note: string, text: string): Promise<void> {
    if (!this.released) await this.#owner.writeNote(note, text)
  }

  now(): number {
    return this.#owner.now()
  }

  after(ms: number, run: () => void): () => void {
    return this.#owner.after(ms, run)
  }
}
