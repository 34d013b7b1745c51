import { providerPageSchema } from '@rdev/shared/api/resources'
import { agentCapabilities } from '@rdev/shared/domain/capabilities'
import { Hono } from 'hono'
import { endpoint } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import type { Deps } from '../ports/deps.ts'
import { json } from './answers.ts'

export function providers(deps: Deps): Hono<AppEnv> {
  const app = new Hono<AppEnv>()

  app.get(
    '/v1/providers',
    endpoint({
      summary: 'List the coding agents',
      tag: 'fleet',
      access: { scope: 'workers:read' },
      answers: { 200: json('Every provider; the first is the default.', providerPageSchema) },
    }),
    (c) => {
      const data = deps.providers.map((provider, i) => ({ ...agentCapabilities[provider], default: i === 0 }))
      return c.json({ data, next_cursor: null })
    },
  )

  return app
}
