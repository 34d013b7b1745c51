import { getHealth, getReadiness } from '@rdev/shared/api/operations/service'
import { DomainError } from '@rdev/shared/domain/errors'
import { Hono } from 'hono'
import { handle } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import type { Deps } from '../ports/deps.ts'

export function health(deps: Deps): Hono<AppEnv> {
  const app = new Hono<AppEnv>()

  handle(app, getHealth, (c) => c.json({ status: 'ok' as const }))

  handle(app, getReadiness, async (c) => {
    const ready = await deps.ready().catch((error: unknown) => {
      deps.log('warn', 'readiness check failed', { request_id: c.var.requestId, error: String(error) })
      return false
    })
    if (!ready) throw new DomainError('SERVICE_UNAVAILABLE', 'the database does not answer')
    return c.json({ status: 'ready' as const })
  })

  return app
}
