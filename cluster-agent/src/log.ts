import type { Log } from './ports.ts'

const levels = { debug: 0, info: 1, warn: 2, error: 3 } as const

/** One JSON object per line: a constant phrase, and everything variable in fields. */
export const createLog =
  (threshold: keyof typeof levels, write: (line: string) => void, now: () => number): Log =>
  (level, phrase, fields = {}) => {
    if (levels[level] < levels[threshold]) return
    write(`${JSON.stringify({ time: new Date(now()).toISOString(), level, msg: phrase, ...fields })}\n`)
  }
