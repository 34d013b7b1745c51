// Work that goes on after the answer. What is done here is a hint: the row was written before, so a failure is logged and repaired elsewhere.

import type { Deps } from '../ports/deps.ts'

/** Keeps the work alive after the answer was sent. */
export interface Later {
  (work: Promise<void>): void
}

/** Answers when it was told, or could not be; never rejects. */
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

/** Waits for work that goes on by itself, but no longer than this. */
export async function within(maxMs: number, work: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined
  await Promise.race([work, new Promise((resolve) => (timer = setTimeout(resolve, maxMs)))])
  if (timer !== undefined) clearTimeout(timer)
}
