// Node's side of the Dial port, over `ws`.

import type { IncomingMessage } from 'node:http'
import { WebSocket } from 'ws'
import { closeCodes, maxFrameBytes } from '@rdev/shared/wire/limits'
import type { Dial } from '../ports.ts'

/** For TCP, TLS and the upgrade together. */
const handshakeTimeoutMs = 10_000

export const dialWebSocket: Dial = (target, events) => {
  const socket = new WebSocket(target.url, {
    headers: { ...target.headers, authorization: `Bearer ${target.bearer}` },
    perMessageDeflate: false,
    maxPayload: maxFrameBytes,
    handshakeTimeout: handshakeTimeoutMs,
  })
  let refusal: { code: number; retryAfterMs: number | null } | undefined
  socket.on('open', () => events.opened())
  socket.on('unexpected-response', (_request, response: IncomingMessage) => {
    refusal = { code: codeOf(response.statusCode ?? 0), retryAfterMs: retryAfter(response.headers['retry-after'], Date.now()) }
    response.resume()
    socket.terminate()
  })
  // `close` always follows an error and is handled; without this listener an error would end the process.
  socket.on('error', () => {})
  socket.on('close', (code) => events.closed(refusal?.code ?? code, refusal?.retryAfterMs ?? null))
  socket.on('message', (data: Buffer, binary) => events.text(binary ? '' : data.toString('utf8')))
  return {
    get bufferedBytes() {
      return socket.bufferedAmount
    },
    send: (text) => {
      // `send` of ws throws while it connects, and does nothing after the end.
      if (socket.readyState !== WebSocket.CONNECTING) socket.send(text)
    },
    close: (code, reason) => {
      // While it connects, close() of ws only emits an error; terminate() looks the same to the peer.
      if (socket.readyState === WebSocket.CONNECTING) socket.terminate()
      else socket.close(code, reason)
    },
    terminate: () => socket.terminate(),
  }
}

/** The close code that means the same as the HTTP status of a refused upgrade. 1006: closed without a close frame (RFC 6455, 7.4.1). */
function codeOf(status: number): number {
  if (status === 401) return closeCodes.unauthorized
  if (status === 403) return closeCodes.stale
  return status === 429 || status === 503 ? closeCodes.tryAgain : 1006
}

/** Seconds or an HTTP date (RFC 9110, 10.2.3); null if it is neither. */
function retryAfter(header: string | undefined, wallMs: number): number | null {
  if (header === undefined) return null
  if (/^\d+$/.test(header)) return Number(header) * 1000
  const at = Date.parse(header)
  return Number.isNaN(at) ? null : Math.max(0, at - wallMs)
}
