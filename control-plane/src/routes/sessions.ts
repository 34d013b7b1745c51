import { listSessionsQuery, sessionPageSchema, sessionSchema } from '@rdev/shared/api/resources'
import { DomainError } from '@rdev/shared/domain/errors'
import { Hono } from 'hono'
import { endpoint } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import type { Deps } from '../ports/deps.ts'
import { json } from './answers.ts'
import { sessionParams } from './ids.ts'
import { toPageView, toSessionView } from './views.ts'

export function sessions(deps: Deps): Hono<AppEnv> {
  const app = new Hono<AppEnv>()

  app.get(
    '/v1/sessions',
    endpoint({
      summary: 'List sessions',
      description: 'Conversations that tasks can continue by `session_id`, newest first.',
      tag: 'sessions',
      access: { scope: 'sessions:read' },
      query: listSessionsQuery,
      answers: { 200: json('A page of sessions.', sessionPageSchema) },
    }),
    async (c) => {
      const { project_id, ...page } = c.req.valid('query')
      const found = await deps.sessions.list({ projects: c.var.caller.project_ids, ...(project_id && { project_id }) }, page)
      return c.json(toPageView(found, toSessionView))
    },
  )

  app.get(
    '/v1/sessions/:id',
    endpoint({
      summary: 'Read a session',
      tag: 'sessions',
      access: { scope: 'sessions:read' },
      params: sessionParams,
      answers: { 200: json('The session.', sessionSchema) },
    }),
    async (c) => {
      const session = await deps.sessions.get(c.req.param('id'), c.var.caller.project_ids)
      if (!session) throw new DomainError('NOT_FOUND', 'there is no such session')
      return c.json(toSessionView(session))
    },
  )

  return app
}
