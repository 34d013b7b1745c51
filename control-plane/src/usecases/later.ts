// Work that goes on after the answer. It is only a hint: the row was written before, so a failure is logged, and others repair what it missed.

import type { Deps } from '../ports/deps.ts'

/** Keeps the work running after the answer was sent. */
export interface Later {
  (work: Promise<void>): void
}

/** Resolves when the work has ended or failed; never rejects. */
export function waitUntil(
  { log }: Pick<Deps, 'log'>,
  later: Later,
  phrase: string,
  about: Readonly<Record<string, string>>,
  tell: () => Promise<void>,
): Promise<void> {
  const told = async () => {
    try {
      await tell()
    } catch (error) {
      log('warn', phrase, { ...about, error: String(error) })
    }
  }
  const work = told()
  later(work)
  return work
}

/** Waits for work that goes on by itself, at most `maxMs`. */
export async function within(maxMs: number, work: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined
  await Promise.race([work, new Promise((resolve) => (timer = setTimeout(resolve, maxMs)))])
  if (timer !== undefined) clearTimeout(timer)
}
