// What passes a proxy on one way of one connection, cut into pieces: the HTTP head, then the frames of a WebSocket, or bytes as they come.
import type { Direction } from './proxy.ts'

export interface Piece {
  readonly bytes: Buffer
  /** Of a whole text frame; undefined for everything else. */
  readonly text?: string
}

/** Above this a head is none, and a frame is nothing of ours. */
const maxHeadBytes = 64 * 1024

export class PieceReader {
  /** The path of the request, once its head was read; only the way up sees it. */
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
      // An answer without a switch of protocols is followed by a body.
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

/** RFC 6455 5.2; undefined while it is not whole. */
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

/** A short text frame; what a client sends is masked (with zeros, which changes nothing). */
export function textFrame(text: string, masked: boolean): Buffer {
  const payload = Buffer.from(text)
  if (payload.length > 125) throw new RangeError('a longer frame needs a longer head')
  return Buffer.concat([Buffer.from([0x81, payload.length | (masked ? 0x80 : 0)]), Buffer.alloc(masked ? 4 : 0), payload])
}
