// The simulator's side of the agent's Timers port: virtual time, in the life of one agent.

import type { Timers } from '../../cluster-agent/src/ports.ts'
import type { Kernel, Life } from '../world/kernel.ts'

/** `wall`: the agent's own clock, which may be far from the true time. */
export const simTimers = (kernel: Kernel, life: Life, wall: () => number): Timers => ({
  after: (ms, run) => {
    const timer = kernel.after(ms, life, () => {
      kernel.touched()
      run()
    })
    return () => {
      timer.cancelled = true
    }
  },
  now: () => kernel.now,
  wall,
  random: () => kernel.random.chance(),
})
