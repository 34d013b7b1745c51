// A fault, and how it comes again.

import type { History } from '../history.ts'

export interface Fault {
  readonly name: string
  /** Lets it happen from now until `untilMs`, again and again or as a state of the world. */
  begin(history: History, untilMs: number): void
}

/** Again and again, on average every `meanMs`. */
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

/** A state that comes and goes. */
export function episodes(history: History, untilMs: number, meanMs: number, longestMs: number, begin: () => void, end: () => void): void {
  const { kernel } = history
  often(history, untilMs, meanMs, () => {
    begin()
    kernel.after(kernel.random.skewed(200, longestMs), kernel.world, end)
  })
}
