import { getSession, listSessions } from '@rdev/shared/api/operations/sessions'
import { DomainError } from '@rdev/shared/domain/errors'
import { Hono } from 'hono'
import { handle } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import type { Deps } from '../ports/deps.ts'
import { toPageView, toSessionView } from './views.ts'

export function sessions(deps: Deps): Hono<AppEnv> {
  const app = new Hono<AppEnv>()

  handle(app, listSessions, async (c) => {
    const { project_id, ...page } = c.req.valid('query')
    const found = await deps.sessions.list({ projects: c.var.caller.project_ids, ...(project_id && { project_id }) }, page)
    return c.json(toPageView(found, toSessionView))
  })

  handle(app, getSession, async (c) => {
    const session = await deps.sessions.get(c.req.param('id'), c.var.caller.project_ids)
    if (!session) throw new DomainError('NOT_FOUND', 'there is no such session')
    return c.json(toSessionView(session))
  })

  return app
}
