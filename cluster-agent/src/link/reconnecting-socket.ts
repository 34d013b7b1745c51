// The driver of reconnecting-socket-machine.ts: has at most one connection at a time, and the timers; the machine decides.

import type { Decoded } from '@rdev/shared/wire/codec'
import { closeCodes, pingText, pongText } from '@rdev/shared/wire/limits'
import { drive, NamedTimers } from '../drive.ts'
import type { Connection, Dial, DialTarget, Timers } from '../ports.ts'
import type { ReconnectEffect } from './reconnecting-socket-machine.ts'
import { newReconnect, stepReconnect } from './reconnecting-socket-machine.ts'
import type { ReconnectGroup } from './reconnect-group.ts'

/** What all sockets of one agent share. */
export interface SocketPlatform {
  /** Of the control plane; `http:` or `https:`. */
  readonly url: string
  readonly timers: Timers
  readonly dial: Dial
  readonly group: ReconnectGroup
}

export interface ReconnectingSocketOptions<Frame> {
  readonly path: string
  /** Called at every dial, because tokens change. */
  readonly bearer: () => string
  readonly headers?: Readonly<Record<string, string>>
  /** After another connection's success the next dial is spread over this time. */
  readonly spreadMs: number
  /** A frame of an unknown type is ignored; any other that cannot be decoded closes the connection. */
  readonly decode: (text: string) => Decoded<Frame>
  readonly up: () => void
  readonly down: (code: number, retryInMs: number) => void
  readonly frame: (frame: Frame) => void
}

export class ReconnectingSocket<Frame> {
  readonly #platform: SocketPlatform
  readonly #options: ReconnectingSocketOptions<Frame>
  readonly #target: Omit<DialTarget, 'bearer'>
  readonly #timers: NamedTimers<'dial' | 'ping' | 'unconfirmed'>
  readonly #machine
  #connection: Connection | undefined

  constructor(platform: SocketPlatform, options: ReconnectingSocketOptions<Frame>) {
    this.#platform = platform
    this.#options = options
    this.#target = { url: socketUrl(platform.url, options.path), ...(options.headers ? { headers: options.headers } : {}) }
    this.#timers = new NamedTimers(platform.timers)
    this.#machine = drive(platform.timers, stepReconnect, newReconnect, (effect) => this.#perform(effect))
  }

  /** Bytes that the connection has not handed to the network yet. */
  get bufferedBytes(): number {
    return this.#connection?.bufferedBytes ?? 0
  }

  /** Dials at once, unless a connection is open or being dialled; a wait for the next try ends. */
  dial(): void {
    this.#machine.step({ type: 'dial' })
  }
  /** The peer sent the first frame that was expected of it. */
  confirmed(): void {
    this.#machine.step({ type: 'confirmed' })
  }
  /** Another connection is back: dials within this time. */
  hasten(withinMs: number): void {
    this.#machine.step({ type: 'hasten', withinMs })
  }
  /** Closes the connection and dials again, as after a loss. */
  drop(code: number, reason: string): void {
    this.#machine.step({ type: 'drop', code, reason })
  }
  /** Closes the connection and does not dial until `dial` is called. */
  park(): void {
    this.#platform.group.settled(this)
    this.#machine.step({ type: 'park', code: 1000, reason: 'waiting' })
  }
  /** Closes the connection for ever. */
  stop(): void {
    this.#platform.group.settled(this)
    this.#machine.step({ type: 'stop', code: 1000, reason: 'done' })
    this.#timers.cancelAll()
  }
  /** Without a connection the text is dropped. */
  send(text: string): void {
    this.#connection?.send(text)
  }

  #perform(effect: ReconnectEffect): void {
    const { group } = this.#platform
    switch (effect.type) {
      case 'dial':
        group.down(this, this.#options.spreadMs)
        return this.#dial(effect.socket)
      case 'ping':
        return this.send(pingText)
      case 'close':
        return this.#take()?.close(effect.code, effect.reason)
      case 'terminate':
        return this.#take()?.terminate()
      case 'timer': {
        const { timer, socket } = effect
        return this.#timers.set(timer, effect.inMs, () => this.#machine.step({ type: 'timer', timer, socket }))
      }
      case 'up':
        group.settled(this)
        return this.#options.up()
      case 'recovered':
        return group.recovered()
      case 'down':
        this.#connection = undefined
        group.down(this, this.#options.spreadMs)
        return this.#options.down(effect.code, effect.retryInMs)
    }
  }

  /** Forgets the connection, so that what it still reports is ignored. */
  #take(): Connection | undefined {
    const connection = this.#connection
    this.#connection = undefined
    return connection
  }

  #dial(socket: number): void {
    const connection = this.#platform.dial(
      { ...this.#target, bearer: this.#options.bearer() },
      {
        opened: () => this.#machine.step({ type: 'opened', socket }),
        text: (text) => {
          if (this.#connection !== connection) return
          this.#machine.step({ type: 'received', socket })
          if (text !== pongText) this.#frame(text)
        },
        closed: (code, retryAfterMs) => this.#machine.step({ type: 'closed', socket, code, retryAfterMs }),
      },
    )
    this.#connection = connection
  }

  #frame(text: string): void {
    const decoded = this.#options.decode(text)
    if (decoded.ok) this.#options.frame(decoded.frame)
    else if (decoded.reason !== 'unknown_type') this.drop(closeCodes.malformed, `frame is ${decoded.reason}`)
  }
}

/** http(s) → ws(s), with the path appended to the base's own path. */
function socketUrl(base: string, path: string): string {
  const url = new URL(base)
  url.protocol = url.protocol === 'https:' || url.protocol === 'wss:' ? 'wss:' : 'ws:'
  url.pathname = url.pathname.replace(/\/$/, '') + path
  return url.toString()
}
