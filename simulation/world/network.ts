// Sockets between the cluster and the control plane. In each direction frames arrive in order, each after a delay. A cut loses the frames that
// are on their way, and both ends, one or neither may notice it. While a direction is blocked nothing passes, also no ping; what was sent
// meanwhile arrives when the direction is free again, if the connection still lives.

import type { Kernel, Life } from './kernel.ts'

export interface ClientEnd {
  readonly life: Life
  opened(): void
  text(text: string): void
  pong(): void
  closed(code: number): void
}

/** The server's side of a socket; it knows a connection only by its id. */
export interface ServerEnd {
  /** Answers false if the server is down: the dial fails. */
  accept(connection: SimConnection): boolean
  text(connection: SimConnection, text: string): void
  closed(connection: SimConnection): void
}

export interface NetworkFaults {
  /** The longest extra delay of a frame. */
  slowMs: number
  upBlocked: boolean
  downBlocked: boolean
  /** The probability that a batch of events on a line is lost or sent twice on its way. */
  unfaithful: number
  /** The probability that an acknowledgement of a result is lost with its connection, and the next dials there hang for a while. */
  resultCut: number
}

/** Sees from outside what agents send. */
export interface NetworkObserver {
  dialled(connection: SimConnection): void
  sentUp(connection: SimConnection, type: string): void
}

export class SimConnection {
  readonly id: string
  readonly client: ClientEnd
  readonly target: string
  clientOpen = true
  clientUp = false
  serverOpen = false
  lastPingAt = 0
  /** The attachment of the server's object; it outlives a sleep. */
  attachment: unknown
  upAt = 0
  downAt = 0
  /** Frames that wait for a blocked direction. */
  readonly upHeld: (() => void)[] = []
  readonly downHeld: (() => void)[] = []
  /** A cut raises it: frames that were sent before never arrive. */
  cutUp = 0
  cutDown = 0

  constructor(id: string, target: string, client: ClientEnd) {
    this.id = id
    this.target = target
    this.client = client
  }
}

export class Network {
  readonly faults: NetworkFaults = { slowMs: 0, upBlocked: false, downBlocked: false, unfaithful: 0, resultCut: 0 }
  readonly connections = new Set<SimConnection>()
  /** Called for each frame when it is sent, for faults that wait for a moment. */
  readonly listeners: ((type: string, text: string, connection: SimConnection) => void)[] = []
  observer: NetworkObserver | undefined
  readonly #kernel: Kernel
  readonly #server: ServerEnd
  /** Targets whose dials hang, and until when. */
  readonly #hanging = new Map<string, number>()
  #ids = 0

  constructor(kernel: Kernel, server: ServerEnd) {
    this.#kernel = kernel
    this.#server = server
  }

  dial(target: string, client: ClientEnd): SimConnection {
    const connection = new SimConnection(`c${++this.#ids}`, target, client)
    this.connections.add(connection)
    this.observer?.dialled(connection)
    connection.upAt = this.#hanging.get(target) ?? 0
    this.#up(connection, () => {
      if (!connection.clientOpen) return this.connections.delete(connection)
      connection.serverOpen = true
      if (!this.#server.accept(connection)) {
        connection.serverOpen = false
        return this.#down(connection, () => this.#clientClosed(connection, 1006))
      }
    })
    // Without an answer the dial fails after ten seconds, the limit of the handshake.
    const asked = connection
    this.#kernel.after(10_000, client.life, () => {
      if (asked.clientOpen && !asked.clientUp) this.#clientClosed(asked, 1006)
    })
    return connection
  }

  /** The server accepted the connection. */
  accepted(connection: SimConnection): void {
    this.#down(connection, () => {
      if (!connection.clientOpen) return
      connection.clientUp = true
      connection.client.opened()
    })
  }

  sendUp(connection: SimConnection, text: string): void {
    if (!connection.clientOpen) return
    const type = typeOf(text)
    this.observer?.sentUp(connection, type)
    for (const listener of this.listeners) listener(type, text, connection)
    const arrive = () => {
      if (connection.serverOpen) this.#server.text(connection, text)
    }
    const { random } = this.#kernel
    if (type === 'events' && random.maybe(this.faults.unfaithful)) {
      const twice = random.maybe(0.5)
      this.#kernel.count(twice ? 'batch sent twice' : 'batch lost')
      if (!twice) return
      this.#up(connection, arrive)
    }
    this.#up(connection, arrive)
  }

  sendDown(connection: SimConnection, text: string): void {
    if (!connection.serverOpen) return
    const type = typeOf(text)
    for (const listener of this.listeners) listener(type, text, connection)
    const kernel = this.#kernel
    const { random } = kernel
    if (type === 'ack' && text.includes('"result":true') && random.maybe(this.faults.resultCut)) {
      kernel.count('acknowledgement of a result cut')
      this.#hanging.set(connection.target, kernel.now + random.int(1, 15_000))
      return this.cut(connection, random.pick(['both', 'client']))
    }
    this.#down(connection, () => {
      if (!connection.clientOpen) return
      connection.client.text(text)
    })
  }

  /** The platform answers a ping without waking the object. */
  ping(connection: SimConnection): void {
    this.#up(connection, () => {
      if (!connection.serverOpen) return
      connection.lastPingAt = this.#kernel.now
      this.#down(connection, () => {
        if (connection.clientOpen) connection.client.pong()
      })
    })
  }

  /** The client closes, with a closing handshake or at once. The server notices it if the network lets anything pass. */
  clientGone(connection: SimConnection, abrupt: boolean): void {
    if (!connection.clientOpen) return
    connection.clientOpen = false
    // Frames on their way may still arrive: late frames of an old connection beside a new one.
    if (abrupt && this.#kernel.random.maybe(0.5)) connection.cutUp++
    if (abrupt && (this.faults.upBlocked || this.#kernel.random.maybe(0.1))) return
    this.#up(connection, () => this.#serverClosed(connection))
  }

  serverClose(connection: SimConnection, code: number): void {
    if (!connection.serverOpen) return
    connection.serverOpen = false
    this.#down(connection, () => this.#clientClosed(connection, code))
    this.#forget(connection)
  }

  /** The network cuts the connection, or one end dies. */
  cut(connection: SimConnection, noticedBy: 'both' | 'client' | 'server' | 'none'): void {
    this.#kernel.count(`cut:${noticedBy}`)
    connection.cutUp++
    connection.cutDown++
    const { random } = this.#kernel
    if (noticedBy === 'both' || noticedBy === 'client') {
      this.#kernel.after(random.skewed(0, 3_000), this.#kernel.world, () => this.#clientClosed(connection, 1006))
    }
    if (noticedBy === 'both' || noticedBy === 'server') {
      this.#kernel.after(random.skewed(0, 3_000), this.#kernel.world, () => this.#serverClosed(connection))
    }
    if (noticedBy === 'none' || noticedBy === 'client') connection.cutUp = Infinity
    if (noticedBy === 'none' || noticedBy === 'server') connection.cutDown = Infinity
  }

  /** A direction is free again. */
  unblocked(): void {
    for (const connection of this.connections) {
      if (!this.faults.upBlocked) for (const send of connection.upHeld.splice(0)) send()
      if (!this.faults.downBlocked) for (const send of connection.downHeld.splice(0)) send()
    }
  }

  #delay(): number {
    const { random } = this.#kernel
    return 1 + random.int(0, 4) + (this.faults.slowMs > 0 && random.maybe(0.2) ? random.skewed(0, this.faults.slowMs) : 0)
  }

  #up(connection: SimConnection, arrive: () => void): void {
    const { cutUp } = connection
    if (cutUp === Infinity) return
    if (this.faults.upBlocked) return void connection.upHeld.push(() => this.#up(connection, arrive))
    connection.upAt = Math.max(connection.upAt, this.#kernel.now + this.#delay())
    this.#kernel.after(connection.upAt - this.#kernel.now, this.#kernel.world, () => {
      if (connection.cutUp === cutUp) arrive()
    })
  }

  #down(connection: SimConnection, arrive: () => void): void {
    const { cutDown } = connection
    if (cutDown === Infinity) return
    if (this.faults.downBlocked) return void connection.downHeld.push(() => this.#down(connection, arrive))
    connection.downAt = Math.max(connection.downAt, this.#kernel.now + this.#delay())
    this.#kernel.after(connection.downAt - this.#kernel.now, connection.client.life, () => {
      if (connection.cutDown === cutDown) arrive()
    })
  }

  #clientClosed(connection: SimConnection, code: number): void {
    if (!connection.clientOpen) return
    connection.clientOpen = false
    this.#forget(connection)
    if (!connection.client.life.dead) {
      if (connection.client.life.stopped) connection.client.life.holder.held.push(() => connection.client.closed(code))
      else connection.client.closed(code)
    }
  }

  #serverClosed(connection: SimConnection): void {
    if (!connection.serverOpen) return
    connection.serverOpen = false
    this.#forget(connection)
    this.#server.closed(connection)
  }

  #forget(connection: SimConnection): void {
    if (!connection.clientOpen && !connection.serverOpen) this.connections.delete(connection)
  }
}

/** The type of a frame: every encoded frame begins with it. Throws if it does not. */
function typeOf(text: string): string {
  const type = /^\{"type":"(\w+)"/.exec(text)?.[1]
  if (type === undefined) throw new Error(`a frame does not begin with its type: ${text.slice(0, 100)}`)
  return type
}
