import type { Clock } from '../ports/clock.ts'

/** Time that moves only when it is told to. */
export function manualClock(start = Date.UTC(2026, 10, 23, 8)): Clock & { advance(ms: number): void } {
  let now = start
  return { now: () => now, advance: (ms) => void (now += ms) }
}
