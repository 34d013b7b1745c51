import { DomainError } from '@rdev/shared/domain/errors'
import { Hono } from 'hono'
import { z } from 'zod'
import { endpoint } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import type { Deps } from '../ports/deps.ts'
import { json } from './answers.ts'

export function health(deps: Deps): Hono<AppEnv> {
  const app = new Hono<AppEnv>()

  app.get(
    '/health',
    endpoint({
      summary: 'Is the Worker alive?',
      tag: 'service',
      access: 'public',
      answers: { 200: json('It answers.', z.object({ status: z.literal('ok') }).meta({ id: 'Health' })) },
    }),
    (c) => c.json({ status: 'ok' as const }),
  )

  app.get(
    '/ready',
    endpoint({
      summary: 'Can it take work?',
      tag: 'service',
      access: 'public',
      answers: { 200: json('The database answers.', z.object({ status: z.literal('ready') }).meta({ id: 'Readiness' })) },
      problems: ['SERVICE_UNAVAILABLE'],
    }),
    async (c) => {
      const ready = await deps.ready().catch((error: unknown) => {
        deps.log('warn', 'readiness could not be told', { request_id: c.var.requestId, error: String(error) })
        return false
      })
      if (!ready) throw new DomainError('SERVICE_UNAVAILABLE', 'the database does not answer')
      return c.json({ status: 'ready' as const })
    },
  )

  return app
}
