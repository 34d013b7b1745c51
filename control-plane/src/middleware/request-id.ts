import { newId } from '@rdev/shared/domain/ids'
import { createMiddleware } from 'hono/factory'
import type { Deps } from '../ports/deps.ts'
import type { AppEnv } from './env.ts'

/** Our own id, never the caller's: it names one request in logs and problems. */
export const requestId = ({ clock, random }: Pick<Deps, 'clock' | 'random'>) =>
  createMiddleware<AppEnv>(async (c, next) => {
    const id = newId('request', clock.now(), random.bytes(10))
    c.set('requestId', id)
    // Before `next`: Hono adds these to what handlers make by `c.json` and `c.body`; a 101 must not be touched afterwards.
    c.header('x-request-id', id)
    c.header('x-content-type-options', 'nosniff')
    c.header('cache-control', 'no-store')
    await next()
  })
