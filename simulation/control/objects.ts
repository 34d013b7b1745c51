// The platform under the two objects: storage that survives, memory that does not, sockets that outlive a sleep, alarms that come at
// least once and late. What an object does in one turn leaves it only when its write is on disk; a crash between write and sending
// loses what would have been sent, one before the write loses both. The whole program can be killed, or one object reset or put to sleep.

import { epochMs, Life, type Kernel, type Timer } from '../world/kernel.ts'
import type { Network, ServerEnd, SimConnection } from '../world/network.ts'

/** Thrown through a turn that a crash ended. */
export class Crashed extends Error {}

export interface Instance {
  connected(connection: SimConnection): void
  frame(connection: SimConnection, frame: object): void
  closed(connection: SimConnection): void
  alarm(): void
  /** Nothing is awaited: it may be put to sleep. */
  idle(): boolean
}

export interface ObjectFaults {
  /** Of each turn that writes. */
  crash: number
  /** Of each turn: asleep right after it, if it is idle. */
  sleep: number
  /** Of each alarm: it comes late, or its handler fails at first. */
  alarmLate: number
  alarmFails: number
}

export class ObjectCell<Stored> {
  readonly name: string
  readonly platform: Platform
  readonly sockets = new Map<string, SimConnection>()
  readonly #wake: (cell: ObjectCell<Stored>) => Instance
  stored: Stored | undefined
  instance: Instance | undefined
  life: Life
  alarmAt: number | null = null
  #timer: Timer | undefined
  /** An alarm is being handled; if we die of it, it comes again. */
  #handling = false
  #delivering = false
  #failures = 0
  wakes = 0

  constructor(platform: Platform, name: string, wake: (cell: ObjectCell<Stored>) => Instance) {
    this.platform = platform
    this.name = name
    this.#wake = wake
    this.life = new Life(name, platform.life)
  }

  get kernel(): Kernel {
    return this.platform.kernel
  }

  /** Runs one turn of the object, loading it if it is not in memory. */
  enter<Instance_ extends Instance>(work: (instance: Instance_) => void): void {
    this.platform.turns++
    try {
      work(this.#awake() as Instance_)
    } catch (error) {
      if (!(error instanceof Crashed)) throw error
      return
    }
    const { random } = this.kernel
    if (this.instance !== undefined && random.maybe(this.platform.faults.sleep) && this.instance.idle() && !this.#handling) this.sleep()
  }

  /** A turn of the instance that is in memory; its timers and answers come here. */
  turn(life: Life, work: () => void): void {
    if (life.dead) return
    this.enter(work)
  }

  /** Before what a turn wrote is told. Answers how many of its effects still happen; Infinity: all. */
  commit(write: () => void): number {
    const { random } = this.kernel
    if (!random.maybe(this.platform.faults.crash)) {
      write()
      return Infinity
    }
    const written = random.maybe(0.6)
    this.kernel.count(written ? 'crash:after write' : 'crash:before write')
    if (written) write()
    return written && random.maybe(0.5) ? random.int(0, 3) : 0
  }

  /** Ends the turn: the program or this object dies here. */
  crash(): never {
    if (this.kernel.random.maybe(0.5)) this.platform.kill('crashed in a turn', this.kernel.random.skewed(50, 20_000))
    else this.reset('crashed in a turn')
    throw new Crashed()
  }

  #awake(): Instance {
    if (this.instance === undefined) {
      this.wakes++
      this.life = new Life(this.name, this.platform.life)
      this.kernel.say(this.name, () => 'wakes')
      // Set only when it is complete: the constructor runs a turn.
      const made = this.#wake(this)
      this.instance = made
      return made
    }
    return this.instance
  }

  sleep(): void {
    this.kernel.say(this.name, () => 'is put to sleep; its sockets live on')
    this.kernel.count('sleep')
    this.life.die()
    this.instance = undefined
  }

  /** Memory and sockets are gone. */
  reset(why: string): void {
    this.kernel.say(this.name, () => `is reset: ${why}`)
    this.kernel.count('reset')
    this.life.die()
    this.instance = undefined
    if (this.#handling) this.setAlarm(this.platform.wall())
    this.#handling = false
    for (const socket of this.sockets.values()) {
      this.sockets.delete(socket.id)
      this.platform.network.cut(socket, this.kernel.random.maybe(0.9) ? 'client' : 'none')
      socket.serverOpen = false
    }
    this.platform.onReset(this.name)
  }

  setAlarm(at: number | null): void {
    this.alarmAt = at
    this.#delivering = false
    if (this.#timer !== undefined) this.#timer.cancelled = true
    this.#timer = undefined
    if (at === null) return
    const { random } = this.kernel
    const late = random.maybe(this.platform.faults.alarmLate) ? random.skewed(0, 120_000) : 0
    this.#timer = this.kernel.after(at - this.platform.wall() + late, this.kernel.world, () => this.#ring())
  }

  #ring(): void {
    // Kept by the platform: a program that is down finds it when it is back.
    if (this.platform.down) return this.platform.whenUp(() => this.alarmAt !== null && this.alarmAt <= this.platform.wall() && this.#ring())
    const { random } = this.kernel
    if (this.#failures < 5 && random.maybe(this.platform.faults.alarmFails)) {
      this.#failures++
      this.kernel.count('alarm failed')
      this.#timer = this.kernel.after(2_000 * 2 ** this.#failures, this.kernel.world, () => this.#ring())
      return
    }
    this.#failures = 0
    this.alarmAt = null
    this.#timer = undefined
    this.#delivering = true
    this.#handling = true
    this.kernel.say(this.name, () => 'alarm')
    this.enter((instance) => {
      // An alarm that is set while its call is on the way cancels the call.
      if (!this.#delivering) return void (this.#handling = false)
      this.#delivering = false
      instance.alarm()
    })
  }

  /** The handler has returned. */
  alarmDone(): void {
    this.#handling = false
  }
  get handling(): boolean {
    return this.#handling
  }
}

export class Platform implements ServerEnd {
  readonly kernel: Kernel
  readonly faults: ObjectFaults = { crash: 0, sleep: 0, alarmLate: 0, alarmFails: 0 }
  readonly cells = new Map<string, ObjectCell<unknown>>()
  network!: Network
  life: Life
  down = false
  /** How often an object was asked to do anything. */
  turns = 0
  #waiting: (() => void)[] = []
  /** Finds the object that a path leads to, or the close code that a token is refused with. */
  route!: (target: string) => ObjectCell<unknown> | number
  /** The memory and the sockets of an object are gone. */
  onReset: (name: string) => void = () => {}

  constructor(kernel: Kernel) {
    this.kernel = kernel
    this.life = new Life('control plane', kernel.world)
  }

  /** Wall time, in which alarms are set. */
  wall(): number {
    return epochMs + this.kernel.now
  }

  whenUp(run: () => void): void {
    this.#waiting.push(run)
  }

  /** SIGKILL of the whole program, or a deploy: every socket is cut, all memory gone. */
  kill(why: string, downMs: number): void {
    if (this.down) return
    this.kernel.say('control plane', () => `is killed (${why}), for ${downMs} ms`)
    this.kernel.count('control plane killed')
    this.down = true
    this.life.die()
    for (const cell of this.cells.values()) cell.reset('its program is gone')
    this.life = new Life('control plane', this.kernel.world)
    this.kernel.after(downMs, this.kernel.world, () => {
      this.down = false
      this.kernel.say('control plane', () => 'is back')
      for (const run of this.#waiting.splice(0)) run()
    })
  }

  accept(connection: SimConnection): boolean {
    if (this.down) return false
    const cell = this.route(connection.target)
    connection.lastPingAt = this.kernel.now
    if (typeof cell === 'number') {
      this.network.serverClose(connection, cell)
      return true
    }
    cell.enter((instance) => {
      cell.sockets.set(connection.id, connection)
      this.network.accepted(connection)
      instance.connected(connection)
    })
    return true
  }

  frame(connection: SimConnection, frame: object): void {
    const cell = this.#cellOf(connection)
    cell?.enter((instance) => instance.frame(connection, frame))
  }

  closed(connection: SimConnection): void {
    const cell = this.#cellOf(connection)
    if (cell === undefined) return
    cell.sockets.delete(connection.id)
    cell.enter((instance) => instance.closed(connection))
  }

  #cellOf(connection: SimConnection): ObjectCell<unknown> | undefined {
    const cell = this.down ? 0 : this.route(connection.target)
    return typeof cell !== 'number' && cell.sockets.has(connection.id) ? cell : undefined
  }
}
