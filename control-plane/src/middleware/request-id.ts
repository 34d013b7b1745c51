import { newId } from '@rdev/shared/domain/ids'
import { createMiddleware } from 'hono/factory'
import type { Deps } from '../ports/deps.ts'
import type { AppEnv } from './env.ts'

/** Gives each request an id for logs and problems; ids that callers send are ignored. */
export const requestId = ({ clock, random }: Pick<Deps, 'clock' | 'random'>) =>
  createMiddleware<AppEnv>(async (c, next) => {
    const id = newId('request', clock.now(), random.bytes(10))
    c.set('requestId', id)
    // Set before `next`: Hono adds the header to what handlers make by `c.json` and `c.body`, and a 101 must not be changed afterwards.
    c.header('x-request-id', id)
    c.header('x-content-type-options', 'nosniff')
    c.header('cache-control', 'no-store')
    await next()
  })
