// What all drivers of the agent share: they step a machine, and they wait. Time and randomness come from the Timers port.

import type { Step, StepContext } from '@rdev/shared/domain/step'
import type { Timers } from './ports.ts'

export type Machine<State, Input, Effect> = (state: State, input: Input, context: StepContext) => Step<State, Effect>

export interface Driven<State, Input> {
  readonly state: State
  step(input: Input): void
}

/** Keeps the state of a machine. A step first stores the new state, then performs the effects in order, so an effect may itself cause a step. */
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

/** The timers of one driver, by name. Setting one again replaces it. */
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
  /** Calls `run` every `everyMs` until the timer is cancelled or set again. */
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

/** The promise's result; undefined if it rejects or takes longer than `maxMs`. Never rejects. */
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
