// Work that goes on after the answer. What is done here is a hint: the row was written before, so a failure is logged and repaired elsewhere.

import type { Deps } from '../ports.ts'

/** Keeps the work alive after the answer was sent. */
export interface Later {
  (work: Promise<void>): void
}

export function tellLater(
  { log }: Pick<Deps, 'log'>,
  later: Later,
  phrase: string,
  about: Readonly<Record<string, string>>,
  tell: () => Promise<void>,
): void {
  const told = async () => {
    try {
      await tell()
    } catch (error) {
      log('warn', phrase, { ...about, error: String(error) })
    }
  }
  later(told())
}
