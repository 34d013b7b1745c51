// Pages of other origins. A ticket in the URL is all that admits to what takes one, so a page of every origin may use it, and may read why it is
// refused. EventSource is sent without a question; clients that use fetch come back with `Last-Event-ID`, for which browsers ask first.

import { listTaskEvents } from '@rdev/shared/api/operations/tasks'
import type { MiddlewareHandler } from 'hono'
import { presentedKey } from './auth.ts'
import type { AppEnv } from './env.ts'

const takesTicket = new RegExp(`^${listTaskEvents.path.replace(':id', '[^/]+')}$`)

export const otherOrigins: MiddlewareHandler<AppEnv> = async (c, next) => {
  const byTicket = takesTicket.test(c.req.path) && c.req.query('ticket') !== undefined && presentedKey(c.req.raw.headers) === undefined
  if (!byTicket) return next()
  c.header('access-control-allow-origin', '*')
  if (c.req.method !== 'OPTIONS' || c.req.header('access-control-request-method') === undefined) return next()
  c.header('access-control-allow-headers', 'last-event-id')
  c.header('access-control-max-age', '86400')
  return c.body(null, 204)
}
