// The platform under the two objects: storage that survives, memory that does not, sockets that outlive a sleep, alarms that come at least
// once and late. What an object sends in one entry leaves it only when its write is on disk: a crash between the write and the sending loses
// what would be sent, a crash before the write loses both. The whole program can be killed, and one object can be reset or put to sleep.

import type { ObjectDriver } from '../../control-plane/src/objects/platform.ts'
import { epochMs, Life, type Kernel, type Timer } from '../world/kernel.ts'
import type { Network, ServerEnd, SimConnection } from '../world/network.ts'

/** An object's socket: of an agent, or of a reader. */
export interface CellSocket {
  readonly id: string
  /** The object's attachment; undefined until the socket was accepted. */
  attachment: unknown
  readonly lastPingAt: number
  accepted(): void
  send(text: string): void
  close(code: number): void
  /** The object was reset, which ends the socket. */
  cut(): void
}

/** An object in memory: the driver and its platform. */
export interface Awake {
  readonly driver: ObjectDriver
  readonly platform: { readonly idle: boolean; endEntry(): boolean }
}

/** The differences between the two kinds of objects. */
export interface CellKind<Stored> {
  wake(cell: ObjectCell<Stored>, life: Life): Awake
  connected(cell: ObjectCell<Stored>, driver: ObjectDriver, connection: SimConnection): void
  message(cell: ObjectCell<Stored>, driver: ObjectDriver, connection: SimConnection, text: string): void
  /** Checks a frame to be sent; throws if it does not fit the wire's schema. */
  checked(text: string): string
}

export interface ObjectFaults {
  /** The probability that an entry that writes crashes. */
  crash: number
  /** The probability that an idle object is put to sleep after an entry. */
  sleep: number
  /** The probabilities that an alarm comes late, and that its handler fails at first. */
  alarmLate: number
  alarmFails: number
}

export class ObjectCell<Stored> {
  readonly name: string
  readonly platform: Platform
  readonly kind: CellKind<Stored>
  readonly sockets = new Map<string, CellSocket>()
  stored: Stored | undefined
  life: Life
  alarmAt: number | null = null
  #awake: Awake | undefined
  #timer: Timer | undefined
  /** An alarm is being handled; if the object dies meanwhile, the alarm comes again. */
  #handling = false
  #delivering = false
  #failures = 0
  wakes = 0

  constructor(platform: Platform, name: string, kind: CellKind<Stored>) {
    this.platform = platform
    this.name = name
    this.kind = kind
    this.life = new Life(name, platform.life)
  }

  get kernel(): Kernel {
    return this.platform.kernel
  }
  get inMemory(): boolean {
    return this.#awake !== undefined
  }

  /** Enters the object once; loads it if it is not in memory. Answers false if it died before the end. */
  enter(work: (driver: ObjectDriver) => void): boolean {
    this.platform.entries++
    const awake = (this.#awake ??= this.#wake())
    if (awake === undefined) return false
    work(awake.driver)
    return awake.platform.endEntry()
  }

  #wake(): Awake | undefined {
    this.wakes++
    const life = new Life(this.name, this.platform.life)
    this.life = life
    this.kernel.say(this.name, () => 'wakes')
    // Loading is part of its first entry, and it may crash in it.
    const awake = this.kind.wake(this, life)
    return life.dead ? undefined : awake
  }

  /** Called after each entry that the object outlived. */
  rest(): void {
    if (this.#awake?.platform.idle !== true || this.#handling || !this.kernel.random.maybe(this.platform.faults.sleep)) return
    const { life } = this
    // An entry may ask the database a promise later, and an object that waits for an answer is not put to sleep.
    this.kernel.whenQuiet(() => {
      if (this.life === life && !life.dead && this.#awake?.platform.idle === true && !this.#handling) this.#sleep()
    })
  }

  #sleep(): void {
    this.kernel.say(this.name, () => 'is put to sleep; its sockets live on')
    this.kernel.count('sleep')
    this.life.die()
    this.#awake = undefined
  }

  /** In the middle of an entry: this object dies, or the whole program. */
  crash(): void {
    if (this.kernel.random.maybe(0.5)) this.platform.kill('crashed in an entry', this.kernel.random.skewed(50, 20_000))
    else this.reset('crashed in an entry')
  }

  /** Drops memory and sockets. */
  reset(why: string): void {
    this.kernel.say(this.name, () => `is reset: ${why}`)
    this.kernel.count('reset')
    this.life.die()
    this.#awake = undefined
    if (this.#handling) this.setAlarm(this.platform.wall())
    this.#handling = false
    for (const socket of this.sockets.values()) {
      this.sockets.delete(socket.id)
      socket.cut()
    }
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
    // The platform keeps the alarm while the program is down.
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
    this.kernel.touched()
    this.enter((driver) => {
      // Setting an alarm while the call of an earlier one is on its way cancels that call.
      if (!this.#delivering) return void (this.#handling = false)
      this.#delivering = false
      const { life } = this
      void driver.alarm().then(() => {
        if (!life.dead) this.#handling = false
      })
    })
  }
}

export class Platform implements ServerEnd {
  readonly kernel: Kernel
  readonly faults: ObjectFaults = { crash: 0, sleep: 0, alarmLate: 0, alarmFails: 0 }
  readonly cells = new Map<string, ObjectCell<unknown>>()
  network!: Network
  life: Life
  down = false
  /** How often any object was entered. */
  entries = 0
  #waiting: (() => void)[] = []
  /** The object of each connection that was let in. */
  readonly #cells = new WeakMap<SimConnection, ObjectCell<unknown>>()
  /** Finds the object of a path, or the close code with which its token is refused. */
  route!: (target: string) => ObjectCell<unknown> | number

  constructor(kernel: Kernel) {
    this.kernel = kernel
    this.life = new Life('control plane', kernel.world)
  }

  /** The wall time, in which alarms are set. */
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
    const { network } = this
    this.#cells.set(connection, cell)
    const socket: CellSocket = {
      id: connection.id,
      attachment: undefined,
      get lastPingAt() {
        return connection.lastPingAt
      },
      accepted: () => network.accepted(connection),
      send: (text) => network.sendDown(connection, cell.kind.checked(text)),
      close: (code) => network.serverClose(connection, code),
      cut: () => {
        network.cut(connection, this.kernel.random.maybe(0.9) ? 'client' : 'none')
        connection.serverOpen = false
      },
    }
    cell.enter((driver) => {
      cell.sockets.set(connection.id, socket)
      cell.kind.connected(cell, driver, connection)
    })
    return true
  }

  text(connection: SimConnection, text: string): void {
    const cell = this.#cellOf(connection)
    cell?.enter((driver) => cell.kind.message(cell, driver, connection, text))
  }

  closed(connection: SimConnection): void {
    const cell = this.#cellOf(connection)
    if (cell === undefined) return
    cell.sockets.delete(connection.id)
    cell.enter((driver) => driver.closed(connection.id))
  }

  #cellOf(connection: SimConnection): ObjectCell<unknown> | undefined {
    // The door judges a connection once, when it is opened.
    const cell = this.#cells.get(connection)
    return !this.down && cell?.sockets.has(connection.id) === true ? cell : undefined
  }
}
