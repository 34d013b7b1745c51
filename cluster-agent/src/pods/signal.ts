/** Wakes one waiter; a ring that nobody waited for is kept for the next. Rung by event listeners that are attached once, not once per wait. */
export interface Signal {
  ring(): void
  /** True when rung, false after `boundMs`. */
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
