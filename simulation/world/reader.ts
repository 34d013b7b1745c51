// A reader of a task's log. It is cut at any moment, connects again with the number of its last event, and must see each event once.

import type { TaskEvent } from '@rdev/shared/domain/event'
import { closeCodes } from '@rdev/shared/wire/limits'
import type { ControlPlane } from '../control/control-plane.ts'
import { eventsIn, type ReaderSocket } from '../control/task-log-cell.ts'
import { Life, type Kernel } from './kernel.ts'

export class LogReader {
  readonly taskId: string
  readonly seen: TaskEvent[] = []
  readonly problems: string[] = []
  readonly #kernel: Kernel
  readonly #plane: ControlPlane
  /** Mean time between cuts; 0: none. */
  readonly #cutEveryMs: () => number
  #connection: Life
  #done = false

  constructor(kernel: Kernel, plane: ControlPlane, taskId: string, cutEveryMs: () => number) {
    this.taskId = taskId
    this.#kernel = kernel
    this.#plane = plane
    this.#cutEveryMs = cutEveryMs
    this.#connection = new Life('reader', kernel.world)
  }

  get finished(): boolean {
    return this.#done
  }

  open(): void {
    if (this.#done) return
    const { random, world } = this.#kernel
    const connection = new Life('reader', world)
    this.#connection = connection
    let downAt = 0
    /** Events arrive in order, each a little later; those on their way at a cut are lost. */
    const deliver = (take: () => void) => {
      downAt = Math.max(downAt, this.#kernel.now + random.int(1, 5))
      this.#kernel.after(downAt - this.#kernel.now, connection, take)
    }
    const socket: ReaderSocket = {
      text: (text) => deliver(() => this.#take(eventsIn(text))),
      closed: (code) =>
        deliver(() => {
          if (code !== closeCodes.ended) return this.#again()
          this.#done = true
          connection.die()
        }),
      cut: () => this.#again(),
    }
    const id = this.#plane.read(this.taskId, this.seen.length, socket)
    if (id === undefined) return this.#again()
    if (this.seen.length === 0) void this.#plane.bringUp(this.taskId).catch(() => {})
    const cutEveryMs = this.#cutEveryMs()
    if (cutEveryMs > 0) {
      this.#kernel.after(random.wait(cutEveryMs), connection, () => {
        this.#kernel.count('reader cut')
        this.#plane.leave(this.taskId, id)
        this.#again()
      })
    }
  }

  #again(): void {
    this.#connection.die()
    this.#kernel.after(this.#kernel.random.int(50, 2_000), this.#kernel.world, () => this.open())
  }

  #take(events: readonly TaskEvent[]): void {
    for (const event of events) {
      const expected = this.seen.length + 1
      if (event.seq !== expected) this.problems.push(`a reader expected event ${expected} and got ${event.seq}`)
      this.seen.push(event)
    }
  }
}
