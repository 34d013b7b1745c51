import type { Context } from 'hono'
import type { Later } from '../usecases/later.ts'

/** Workers drop a request's unfinished promises unless they are passed to `waitUntil`; in other runtimes a promise runs on by itself. */
export const laterOf =
  (c: Context): Later =>
  (work) => {
    try {
      c.executionCtx.waitUntil(work)
    } catch {
      void work
    }
  }
