// What all drivers of the agent share: how a machine is stepped, and how they wait. Time and chance come from the Timers port.

import type { Step, StepContext } from '@rdev/shared/domain/step'
import type { Timers } from './ports.ts'

export type Machine<State, Input, Effect> = (state: State, input: Input, context: StepContext) => Step<State, Effect>

export interface Driven<State, Input> {
  readonly state: State
  step(input: Input): void
}

/** Keeps the state of a machine. Each step performs its effects in order, after the state has changed: an effect may begin a step of its own. */
export function drive<State, Input, Effect>(
  timers: Timers,
  machine: Machine<State, Input, Effect>,
  initial: State,
  perform: (effect: Effect) => void,
): Driven<State, Input> {
  let state = initial
  return {
    get state() {
      return state
    },
    step: (input) => {
      const next = machine(state, input, { now: timers.now(), random: timers.random() })
      state = next.state
      for (const effect of next.effects) perform(effect)
    },
  }
}

/** The timers of one driver by name: one that is set again takes the place of the one before. */
export class NamedTimers<Name extends string> {
  readonly #timers: Timers
  readonly #cancels = new Map<Name, () => void>()

  constructor(timers: Timers) {
    this.#timers = timers
  }

  set(name: Name, inMs: number, run: () => void): void {
    this.cancel(name)
    const due = () => {
      this.#cancels.delete(name)
      run()
    }
    this.#cancels.set(name, this.#timers.after(inMs, due))
  }
  /** Again and again, every `everyMs`. */
  repeat(name: Name, everyMs: number, run: () => void): void {
    this.set(name, everyMs, () => {
      this.repeat(name, everyMs, run)
      run()
    })
  }
  has(name: Name): boolean {
    return this.#cancels.has(name)
  }
  cancel(name: Name): void {
    this.#cancels.get(name)?.()
    this.#cancels.delete(name)
  }
  cancelAll(): void {
    for (const cancel of this.#cancels.values()) cancel()
    this.#cancels.clear()
  }
}

export const pause = (timers: Timers, ms: number): Promise<void> => new Promise((resolve) => void timers.after(ms, resolve))

/** Undefined if it fails, or is not there within `maxMs`. */
export async function within<Result>(timers: Timers, maxMs: number, promise: Promise<Result>): Promise<Result | undefined> {
  let cancel = (): void => {}
  const late = new Promise<undefined>((resolve) => {
    cancel = timers.after(maxMs, () => resolve(undefined))
  })
  try {
    return await Promise.race([promise, late])
  } catch {
    return undefined
  } finally {
    cancel()
  }
}
