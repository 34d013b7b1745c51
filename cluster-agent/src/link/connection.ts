// The thin shell of connection-machine.ts around `ws`: sockets and timers here, decisions there.

import type { IncomingMessage } from 'node:http'
import { performance } from 'node:perf_hooks'
import { WebSocket } from 'ws'
import { closeCodes, maxFrameBytes, pingText, pongText } from '@rdev/shared/wire/limits'
import type { ConnectionEffect, ConnectionInput, ConnectionState } from './connection-machine.ts'
import { newConnection, stepConnection } from './connection-machine.ts'
import type { ReconnectGroup } from './reconnect-group.ts'

/** TCP, TLS and the upgrade together. */
const handshakeTimeoutMs = 10_000

export interface ConnectionHandlers {
  readonly up: () => void
  readonly down: (code: number, retryInMs: number) => void
  readonly frame: (text: string) => void
}

export interface ConnectionOptions extends ConnectionHandlers {
  readonly url: string
  /** Asked at every dial: tokens change. */
  readonly bearer: () => string
  readonly headers?: Readonly<Record<string, string>>
  /** What it shares with the agent's other connections, and over how long its dials after their success are spread. */
  readonly group: ReconnectGroup
  readonly spreadMs: number
}

export class Connection {
  readonly #options: ConnectionOptions
  readonly #timers = new Map<string, NodeJS.Timeout>()
  #state: ConnectionState = newConnection
  #socket: WebSocket | undefined

  constructor(options: ConnectionOptions) {
    this.#options = options
  }

  get open(): boolean {
    return this.#state.phase === 'open'
  }

  /** Bytes that the socket has not handed to the network yet. */
  get bufferedBytes(): number {
    return this.#socket?.bufferedAmount ?? 0
  }

  /** Dials unless a socket is there; a wait for the next try ends. */
  dial(): void {
    this.#step({ type: 'dial' })
  }
  confirmed(): void {
    this.#step({ type: 'confirmed' })
  }
  /** Another connection is back: the wait for the next try is over, within this time. */
  hasten(withinMs: number): void {
    this.#step({ type: 'hasten', withinMs })
  }
  drop(code: number, reason: string): void {
    this.#step({ type: 'drop', code, reason })
  }
  park(): void {
    this.#options.group.settled(this)
    this.#step({ type: 'park', code: 1000, reason: 'waiting' })
  }
  stop(code = 1000, reason = 'done'): void {
    this.#options.group.settled(this)
    this.#step({ type: 'stop', code, reason })
    for (const timer of this.#timers.values()) clearTimeout(timer)
  }
  send(text: string): void {
    this.#socket?.send(text)
  }

  #step(input: ConnectionInput): void {
    const step = stepConnection(this.#state, input, performance.now(), Math.random())
    this.#state = step.state
    for (const effect of step.effects) this.#perform(effect)
  }

  #perform(effect: ConnectionEffect): void {
    switch (effect.type) {
      case 'dial':
        this.#options.group.down(this, this.#options.spreadMs)
        return this.#dial(effect.socket)
      case 'ping':
        return this.send(pingText)
      case 'close': {
        const socket = this.#socket
        this.#socket = undefined
        // While still connecting, close() would be an error event and no more; terminate() is the same for the peer.
        if (socket?.readyState === WebSocket.CONNECTING) socket.terminate()
        else socket?.close(effect.code, effect.reason)
        return
      }
      case 'terminate':
        this.#socket?.terminate()
        this.#socket = undefined
        return
      case 'timer': {
        clearTimeout(this.#timers.get(effect.timer))
        const input: ConnectionInput = { type: 'timer', timer: effect.timer, socket: effect.socket }
        this.#timers.set(
          effect.timer,
          setTimeout(() => this.#step(input), effect.inMs),
        )
        return
      }
      case 'up':
        this.#options.group.settled(this)
        return this.#options.up()
      case 'recovered':
        return this.#options.group.recovered()
      case 'down':
        this.#socket = undefined
        this.#options.group.down(this, this.#options.spreadMs)
        return this.#options.down(effect.code, effect.retryInMs)
    }
  }

  #dial(number: number): void {
    const socket = new WebSocket(this.#options.url, {
      headers: { ...this.#options.headers, authorization: `Bearer ${this.#options.bearer()}` },
      perMessageDeflate: false,
      maxPayload: maxFrameBytes,
      handshakeTimeout: handshakeTimeoutMs,
    })
    this.#socket = socket
    let refusal: { code: number; retryAfterMs: number | null } | undefined
    socket.on('open', () => {
      this.#step({ type: 'opened', socket: number })
    })
    socket.on('unexpected-response', (_request, response: IncomingMessage) => {
      refusal = { code: codeOf(response.statusCode ?? 0), retryAfterMs: retryAfter(response.headers['retry-after'], Date.now()) }
      response.resume()
      socket.terminate()
    })
    // `close` always follows; it is the one that counts.
    socket.on('error', () => {})
    socket.on('close', (code) =>
      this.#step({ type: 'closed', socket: number, code: refusal?.code ?? code, retryAfterMs: refusal?.retryAfterMs ?? null }),
    )
    socket.on('message', (data: Buffer, binary) => {
      if (this.#socket !== socket) return
      this.#step({ type: 'received', socket: number })
      const text = binary ? '' : data.toString('utf8')
      if (text !== pongText) this.#options.frame(text)
    })
  }
}

/** The close code that says the same as the HTTP status of a refused upgrade. */
function codeOf(status: number): number {
  if (status === 401) return closeCodes.unauthorized
  if (status === 403) return closeCodes.stale
  return status === 429 || status === 503 ? closeCodes.tryAgain : 1006
}

/** Seconds or an HTTP date; null if it is neither. */
export function retryAfter(header: string | undefined, wallMs: number): number | null {
  if (header === undefined) return null
  if (/^\d+$/.test(header)) return Number(header) * 1000
  const at = Date.parse(header)
  return Number.isNaN(at) ? null : Math.max(0, at - wallMs)
}

/** http(s) → ws(s), with the path appended to whatever path the base has. */
export function socketUrl(base: string, path: string): string {
  const url = new URL(base)
  url.protocol = url.protocol === 'https:' || url.protocol === 'wss:' ? 'wss:' : 'ws:'
  url.pathname = url.pathname.replace(/\/$/, '') + path
  return url.toString()
}
