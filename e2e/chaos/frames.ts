// Divides what passes a proxy in one direction of one connection: the HTTP head, then the frames of a WebSocket (RFC 6455), or chunks of bytes.
import type { Direction } from './proxy.ts'

export interface Piece {
  readonly bytes: Buffer
  /** The text of a whole text frame; undefined for everything else. */
  readonly text?: string
}

/** A longer head or frame is passed on as bytes. */
const maxHeadBytes = 64 * 1024

export class PieceReader {
  /** The path of the request, after its head was read; only the direction `up` has it. */
  path = ''
  readonly #direction: Direction
  #mode: 'head' | 'frames' | 'bytes' = 'head'
  #rest: Buffer = Buffer.alloc(0)

  constructor(direction: Direction) {
    this.#direction = direction
  }

  push(chunk: Buffer): Piece[] {
    if (this.#mode === 'bytes') return [{ bytes: chunk }]
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const pieces: Piece[] = []
    if (this.#mode === 'head') {
      const end = this.#rest.indexOf('\r\n\r\n')
      if (end < 0 && this.#rest.length < maxHeadBytes) return []
      const head = this.#rest.subarray(0, end < 0 ? undefined : end + 4)
      const text = head.toString('latin1')
      if (this.#direction === 'up') this.path = /^\S+ (\S+) HTTP/.exec(text)?.[1] ?? ''
      // An answer that does not switch protocols has a body.
      const frames = this.#direction === 'up' ? /^upgrade: *websocket/im.test(text) : text.startsWith('HTTP/1.1 101')
      this.#mode = frames && end >= 0 ? 'frames' : 'bytes'
      this.#rest = this.#rest.subarray(head.length)
      pieces.push({ bytes: head })
    }
    if (this.#mode === 'bytes') {
      if (this.#rest.length > 0) pieces.push({ bytes: this.#rest })
      this.#rest = Buffer.alloc(0)
      return pieces
    }
    for (let frame = takeFrame(this.#rest); frame; frame = takeFrame(this.#rest)) {
      this.#rest = this.#rest.subarray(frame.bytes.length)
      pieces.push(frame)
    }
    return pieces
  }
}

/** Reads one frame (RFC 6455, 5.2); undefined while it is not whole. */
function takeFrame(bytes: Buffer): Piece | undefined {
  if (bytes.length < 2) return undefined
  const masked = (bytes[1]! & 0x80) !== 0
  let length = bytes[1]! & 0x7f
  let at = 2
  if (length === 126) {
    if (bytes.length < 4) return undefined
    length = bytes.readUInt16BE(2)
    at = 4
  } else if (length === 127) {
    if (bytes.length < 10) return undefined
    length = Number(bytes.readBigUInt64BE(2))
    at = 10
  }
  const mask = masked ? bytes.subarray(at, at + 4) : undefined
  if (mask) at += 4
  if (bytes.length < at + length) return undefined
  const whole = bytes.subarray(0, at + length)
  const isText = bytes[0] === 0x81
  if (!isText) return { bytes: whole }
  const payload = Buffer.from(whole.subarray(at))
  if (mask) for (let i = 0; i < payload.length; i++) payload[i]! ^= mask[i & 3]!
  return { bytes: whole, text: payload.toString('utf8') }
}

/** A short text frame. A client's frame is masked, with zeros, which leaves the text as it is. Throws RangeError if the text is too long. */
export function textFrame(text: string, masked: boolean): Buffer {
  const payload = Buffer.from(text)
  if (payload.length > 125) throw new RangeError('a longer frame needs a longer head')
  return Buffer.concat([Buffer.from([0x81, payload.length | (masked ? 0x80 : 0)]), Buffer.alloc(masked ? 4 : 0), payload])
}
