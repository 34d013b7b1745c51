/** Wakes one waiter. A ring without a waiter is kept for the next wait. Event listeners that ring it are attached once, not once per wait. */
export interface Signal {
  ring(): void
  /** Resolves with true when rung, with false after `boundMs`. */
  wait(boundMs?: number): Promise<boolean>
}

export function createSignal(): Signal {
  let rung = false
  let wake: ((rung: boolean) => void) | undefined
  return {
    ring() {
      if (wake) wake(true)
      else rung = true
    },
    wait(boundMs) {
      if (rung) {
        rung = false
        return Promise.resolve(true)
      }
      return new Promise((resolve) => {
        const timer = boundMs === undefined ? undefined : setTimeout(() => wake?.(false), Math.max(0, boundMs))
        wake = (how) => {
          wake = undefined
          clearTimeout(timer)
          resolve(how)
        }
      })
    },
  }
}
