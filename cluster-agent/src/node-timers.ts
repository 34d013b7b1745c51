// Node's side of the Timers port.

import { performance } from 'node:perf_hooks'
import type { Timers } from './ports.ts'

export const nodeTimers: Timers = {
  after: (ms, run) => {
    const timer = setTimeout(run, ms)
    return () => clearTimeout(timer)
  },
  now: () => performance.now(),
  wall: () => Date.now(),
  random: () => Math.random(),
}
