// The simulator's side of the platform port: one for each life of an object. All effects of the object go through it, so a crash is simulated
// here: before a write, after it, or between two effects that follow. After a crash the driver's code runs on to the end of its entry, because
// no exception of the simulator must pass through it, but its effects are dropped.

import type { ObjectPlatform } from '../../control-plane/src/objects/platform.ts'
import { epochMs, type Kernel, type Life } from '../world/kernel.ts'
import type { ObjectCell } from './objects.ts'

const never = new Promise<never>(() => {})

export abstract class CellPlatform<Stored, Memory, Write, Attachment> implements ObjectPlatform<Memory, Write, Attachment> {
  readonly life: Life
  protected readonly cell: ObjectCell<Stored>
  readonly #kernel: Kernel
  /** How many effects still happen before the drawn crash; Infinity: no crash was drawn. */
  #left = Infinity
  /** How many timers and unanswered questions there are. */
  #awaited = 0

  constructor(cell: ObjectCell<Stored>, life: Life) {
    this.cell = cell
    this.life = life
    this.#kernel = cell.kernel
  }

  abstract load(): Memory
  abstract commit(write: Write): void

  get name(): string {
    return this.cell.name
  }
  newId(): string {
    return `boot${Math.floor(this.#kernel.random.chance() * 1e12)}`
  }
  /** Nothing is awaited, so the object may be put to sleep. */
  get idle(): boolean {
    return this.#awaited === 0
  }

  /** Writes, or crashes before or after it. */
  protected write(run: () => void): void {
    if (!this.#happens()) return
    const { random } = this.#kernel
    if (this.#left !== Infinity || !random.maybe(this.cell.platform.faults.crash)) return run()
    const written = random.maybe(0.6)
    this.#kernel.count(written ? 'crash:after write' : 'crash:before write')
    if (!written) return this.cell.crash()
    run()
    this.#left = random.maybe(0.5) ? random.int(0, 3) : 0
  }

  /** Whether an effect of the object still happens. */
  #happens(): boolean {
    if (this.life.dead) return false
    if (this.#left === Infinity) return true
    if (this.#left-- > 0) return true
    this.cell.crash()
    return false
  }

  /** Ends an entry, or the work after an answer. Answers whether the object outlived it. */
  endEntry(): boolean {
    if (this.life.dead) return false
    if (this.#left !== Infinity) {
      this.cell.crash()
      return false
    }
    this.cell.rest()
    return true
  }

  accept(connection: string, attachment: Attachment): void {
    if (!this.#happens()) return
    const socket = this.cell.sockets.get(connection)
    if (socket === undefined) return
    socket.attachment = attachment
    socket.accepted()
  }

  *connections(): Generator<readonly [string, Attachment]> {
    for (const { id, attachment } of this.cell.sockets.values()) if (attachment !== undefined) yield [id, attachment as Attachment]
  }

  send(connection: string, text: string): void {
    if (this.#happens()) this.cell.sockets.get(connection)?.send(text)
  }

  close(connection: string, code: number): void {
    if (!this.#happens()) return
    const socket = this.cell.sockets.get(connection)
    this.cell.sockets.delete(connection)
    socket?.close(code)
  }

  lastPingAt(connection: string): number {
    const socket = this.cell.sockets.get(connection)
    return socket === undefined ? 0 : epochMs + socket.lastPingAt
  }

  after(delayMs: number, run: () => void): () => void {
    this.#awaited++
    const timer = this.#kernel.after(delayMs, this.life, () => {
      this.#awaited--
      this.#answered()
      run()
    })
    return () => {
      if (!timer.cancelled) this.#awaited--
      timer.cancelled = true
    }
  }

  async setAlarm(at: number | null): Promise<void> {
    if (this.#happens()) this.cell.setAlarm(at)
  }
  alarmAt(): Promise<number | null> {
    return this.life.dead ? never : Promise.resolve(this.cell.alarmAt)
  }

  /** Wraps a port that the object asks. An answer begins an entry of its own. */
  outside<Port extends object>(port: Port): Port {
    const ask =
      (question: (...args: never[]) => Promise<unknown>) =>
      (...args: never[]): Promise<unknown> => {
        if (!this.#happens()) return never
        this.#kernel.touched()
        this.#awaited++
        const answer = question(...args)
        const answered = () => {
          this.#awaited--
          this.#answered()
        }
        answer.then(answered, answered)
        return answer
      }
    return Object.fromEntries(Object.entries(port).map(([name, value]) => [name, typeof value === 'function' ? ask(value) : value])) as Port
  }

  #answered(): void {
    this.cell.platform.entries++
    this.#kernel.touched()
    this.#kernel.whenQuiet(() => this.endEntry())
  }
}
