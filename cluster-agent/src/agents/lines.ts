// Divides a stream of bytes into lines, each with the offset after it. Of a line that never ends it holds a bounded part.

/** Of a longer line only the two ends are kept. Real lines are far shorter. */
export const maxLineBytes = 8 * 1024 * 1024
/** How much of the beginning and of the end of a longer line is kept. */
export const endBytes = 64 * 1024

export interface Line {
  readonly text: string
  /** Offset of the byte after the line's newline. */
  readonly end: number
  /** Bytes missing between the two ends of a line that was too long; `text` is its beginning and `tail` its end. */
  readonly removed: number
  readonly tail: string
}

const newline = 0x0a

export class LineReader {
  /** Offset of the next byte. */
  #position: number
  /** Parts of the unfinished line: all of it until it is too long, then only its beginning. */
  #parts: Buffer[] = []
  #length = 0
  #tail: Buffer | undefined
  readonly #max: number

  constructor(position: number, max: number = maxLineBytes) {
    this.#position = position
    this.#max = max
  }

  /** The lines that `bytes` complete. Bytes before the position, which come again after a reconnect, are left out. */
  *push(offset: number, bytes: Buffer): Generator<Line> {
    let at = Math.max(0, this.#position - offset)
    while (at < bytes.length) {
      const found = bytes.indexOf(newline, at)
      if (found >= 0 && this.#length === 0 && found - at <= this.#max) {
        // Most lines are whole in one chunk and need no copy.
        const text = bytes.toString('utf8', at, found)
        at = found + 1
        this.#position = offset + at
        yield { text, end: this.#position, removed: 0, tail: '' }
        continue
      }
      const end = found < 0 ? bytes.length : found
      this.#keep(bytes.subarray(at, end))
      at = found < 0 ? end : end + 1
      this.#position = offset + at
      if (found >= 0) yield this.#take()
    }
  }

  /** The last line, if it has no newline. */
  *rest(): Generator<Line> {
    if (this.#length > 0) yield this.#take()
  }

  #keep(bytes: Buffer): void {
    if (bytes.length === 0) return
    this.#length += bytes.length
    if (this.#tail) {
      this.#tail = Buffer.concat([this.#tail, bytes.subarray(-endBytes)]).subarray(-endBytes)
      return
    }
    // A copy, because a view would keep the whole chunk in memory.
    this.#parts.push(Buffer.from(bytes))
    if (this.#length <= this.#max) return
    const whole = Buffer.concat(this.#parts)
    this.#parts = [Buffer.from(whole.subarray(0, endBytes))]
    this.#tail = Buffer.from(whole.subarray(-endBytes))
  }

  #take(): Line {
    const text = Buffer.concat(this.#parts).toString('utf8')
    const removed = this.#tail ? this.#length - this.#parts[0]!.length - this.#tail.length : 0
    const line = { text, end: this.#position, removed, tail: this.#tail?.toString('utf8') ?? '' }
    this.#parts = []
    this.#length = 0
    this.#tail = undefined
    return line
  }
}
