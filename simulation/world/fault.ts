// A fault, and how it is repeated.

import type { History } from '../history.ts'

export interface Fault {
  readonly name: string
  /** Lets the fault happen from now until `untilMs`: repeatedly, or as a state of the world. */
  begin(history: History, untilMs: number): void
}

/** Repeats `run`, on average every `meanMs`. */
export function often(history: History, untilMs: number, meanMs: number, happen: () => void): void {
  const { kernel } = history
  const next = () => {
    const waitMs = kernel.random.wait(meanMs)
    if (kernel.now + waitMs >= untilMs) return
    kernel.after(waitMs, kernel.world, () => {
      happen()
      next()
    })
  }
  next()
}

/** Begins and ends a state repeatedly. */
export function episodes(history: History, untilMs: number, meanMs: number, longestMs: number, begin: () => void, end: () => void): void {
  const { kernel } = history
  often(history, untilMs, meanMs, () => {
    begin()
    kernel.after(kernel.random.skewed(200, longestMs), kernel.world, end)
  })
}
