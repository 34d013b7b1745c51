// One socket of the agent: the real connection machine, effects as cluster-agent/src/link/connection.ts does them.

import {
  newConnection,
  stepConnection,
  type ConnectionEffect,
  type ConnectionInput,
  type ConnectionState,
} from '../../cluster-agent/src/link/connection-machine.ts'
import type { ReconnectGroup } from '../../cluster-agent/src/link/reconnect-group.ts'
import type { Kernel, Life, Timer } from '../world/kernel.ts'
import type { ClientEnd, Network, SimConnection } from '../world/network.ts'

export interface SocketOptions {
  readonly target: () => string
  readonly up: () => void
  readonly down: (code: number) => void
  readonly frame: (frame: object) => void
  readonly group: ReconnectGroup
  readonly spreadMs: number
}

export class AgentSocket {
  readonly #kernel: Kernel
  readonly #life: Life
  readonly #network: Network
  readonly #options: SocketOptions
  readonly #timers = new Map<string, Timer>()
  #state: ConnectionState = newConnection
  #connection: SimConnection | undefined

  constructor(kernel: Kernel, life: Life, network: Network, options: SocketOptions) {
    this.#kernel = kernel
    this.#life = life
    this.#network = network
    this.#options = options
  }

  dial(): void {
    this.#step({ type: 'dial' })
  }
  confirmed(): void {
    this.#step({ type: 'confirmed' })
  }
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
  stop(): void {
    this.#options.group.settled(this)
    this.#step({ type: 'stop', code: 1000, reason: 'done' })
    for (const timer of this.#timers.values()) timer.cancelled = true
  }
  send(frame: object): void {
    if (this.#connection !== undefined) this.#network.sendUp(this.#connection, frame)
  }

  #step(input: ConnectionInput): void {
    const step = stepConnection(this.#state, input, this.#kernel.now, this.#kernel.random.chance())
    this.#state = step.state
    for (const effect of step.effects) this.#perform(effect)
  }

  #perform(effect: ConnectionEffect): void {
    const { group, spreadMs } = this.#options
    switch (effect.type) {
      case 'dial':
        group.down(this, spreadMs)
        return this.#dial(effect.socket)
      case 'ping':
        if (this.#connection !== undefined) this.#network.ping(this.#connection)
        return
      case 'close':
      case 'terminate': {
        const connection = this.#connection
        this.#connection = undefined
        if (connection !== undefined) this.#network.clientGone(connection, effect.type === 'terminate')
        return
      }
      case 'timer': {
        const before = this.#timers.get(effect.timer)
        if (before !== undefined) before.cancelled = true
        const input: ConnectionInput = { type: 'timer', timer: effect.timer, socket: effect.socket }
        this.#timers.set(
          effect.timer,
          this.#kernel.after(effect.inMs, this.#life, () => this.#step(input)),
        )
        return
      }
      case 'up':
        group.settled(this)
        return this.#options.up()
      case 'recovered':
        return group.recovered()
      case 'down':
        this.#connection = undefined
        group.down(this, spreadMs)
        return this.#options.down(effect.code)
    }
  }

  #dial(socket: number): void {
    const end: ClientEnd = {
      life: this.#life,
      opened: () => this.#step({ type: 'opened', socket }),
      received: () => {
        if (this.#connection === connection) this.#step({ type: 'received', socket })
      },
      frame: (frame) => {
        if (this.#connection === connection) this.#options.frame(frame)
      },
      closed: (code) => this.#step({ type: 'closed', socket, code, retryAfterMs: null }),
    }
    const connection = this.#network.dial(this.#options.target(), end)
    this.#connection = connection
  }
}
