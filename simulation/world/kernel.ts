// Virtual time. Everything that happens is an event of a life (a program, an object in memory, a pod). Events of a dead life never happen, and
// those of a stopped life wait until it goes on. Promises of the product's code run between events.

import { Random } from './random.ts'

/** When virtual time began, on the wall. */
export const epochMs = Date.UTC(2026, 0, 1)

export class Life {
  readonly name: string
  readonly #parent: Life | undefined
  #dead = false
  #stopped = false
  held: (() => void)[] = []

  constructor(name: string, parent?: Life) {
    this.name = name
    this.#parent = parent
  }
  get dead(): boolean {
    return this.#dead || (this.#parent?.dead ?? false)
  }
  get stopped(): boolean {
    return this.#stopped || (this.#parent?.stopped ?? false)
  }
  /** The events of a stopped life that wait. */
  get holder(): Life {
    return this.#stopped || this.#parent === undefined ? this : this.#parent.holder
  }
  die(): void {
    this.#dead = true
    this.held = []
  }
  stop(): void {
    this.#stopped = true
  }
  /** Answers the events that waited, in order. */
  cont(): (() => void)[] {
    this.#stopped = false
    const held = this.held
    this.held = []
    return held
  }
}

export interface Timer {
  cancelled: boolean
}

interface Event extends Timer {
  readonly at: number
  readonly order: number
  readonly life: Life
  readonly run: () => void
}

/** A history with more events than this is in an endless loop. */
const maxEvents = 5_000_000

/** Drains the event loop: resolves when every promise continuation has run and all code waits for an event. */
const quiet = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

export class Kernel {
  readonly random: Random
  readonly world = new Life('world')
  readonly counts: Record<string, number> = {}
  /** Gets the trace, if set. */
  trace: ((line: string) => void) | undefined
  now = 0
  #order = 0
  #events = 0
  #touched = false
  #whenQuiet: (() => void)[] = []
  readonly #heap: Event[] = []

  constructor(seed: number) {
    this.random = new Random(seed)
  }

  /** Whole milliseconds, like those of a clock. */
  after(delayMs: number, life: Life, run: () => void): Timer {
    const event: Event = { at: this.now + Math.ceil(Math.max(0, delayMs)), order: this.#order++, life, run, cancelled: false }
    this.#push(event)
    return event
  }

  count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1
  }

  say(who: string, what: () => string): void {
    if (this.trace !== undefined) this.trace(`${stamp(this.now)} ${who.padEnd(22)} ${what()}`)
  }

  /** A promise was made or resolved: its continuations run before the next event. */
  touched(): void {
    this.#touched = true
  }

  /** Calls `run` after all promise continuations of this event, before the next event. */
  whenQuiet(run: () => void): void {
    this.#touched = true
    this.#whenQuiet.push(run)
  }

  /** Resolves in an event of that life, so never for a dead one. */
  pause(delayMs: number, life: Life): Promise<void> {
    return new Promise((resolve) => {
      this.after(delayMs, life, () => {
        this.touched()
        resolve()
      })
    })
  }

  /** Lets a stopped life go on: the events that waited happen now, in order. */
  cont(life: Life): void {
    for (const run of life.cont()) this.after(0, life, run)
  }

  /** Runs all events up to that time. Throws if there are more than `maxEvents`. */
  async runUntil(until: number): Promise<void> {
    for (let next = this.#heap[0]; next !== undefined && next.at <= until; next = this.#heap[0]) {
      this.#pop()
      if (next.cancelled || next.life.dead) continue
      this.now = next.at
      if (++this.#events > maxEvents) throw new Error('the history does not come to rest')
      if (next.life.stopped) next.life.holder.held.push(next.run)
      else next.run()
      while (this.#touched) {
        await quiet()
        this.#touched = false
        for (const run of this.#whenQuiet.splice(0)) run()
      }
    }
    this.now = until
  }

  #push(event: Event): void {
    const heap = this.#heap
    let i = heap.push(event) - 1
    while (i > 0) {
      const up = (i - 1) >> 1
      if (before(heap[up]!, event)) break
      heap[i] = heap[up]!
      i = up
    }
    heap[i] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    let i = 0
    for (;;) {
      let down = 2 * i + 1
      if (down >= heap.length) break
      if (down + 1 < heap.length && before(heap[down + 1]!, heap[down]!)) down++
      if (before(last, heap[down]!)) break
      heap[i] = heap[down]!
      i = down
    }
    heap[i] = last
  }
}

const before = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)

function stamp(ms: number): string {
  const pad = (value: number, width: number) => String(value).padStart(width, '0')
  return `${pad(Math.floor(ms / 3_600_000), 1)}:${pad(Math.floor(ms / 60_000) % 60, 2)}:${pad(Math.floor(ms / 1000) % 60, 2)}.${pad(ms % 1000, 3)}`
}
