import type { Context } from 'hono'
import type { Later } from '../usecases/later.ts'

/** Workers drop what a request left behind unless it is handed to `waitUntil`; elsewhere a promise lives by itself. */
export const laterOf =
  (c: Context): Later =>
  (work) => {
    try {
      c.executionCtx.waitUntil(work)
    } catch {
      void work
    }
  }
