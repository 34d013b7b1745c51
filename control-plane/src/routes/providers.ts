import { listProviders } from '@rdev/shared/api/operations/fleet'
import { agentCapabilities } from '@rdev/shared/domain/capabilities'
import { Hono } from 'hono'
import { handle } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import type { Deps } from '../ports/deps.ts'

export function providers(deps: Deps): Hono<AppEnv> {
  const app = new Hono<AppEnv>()

  handle(app, listProviders, (c) => {
    const data = deps.providers.map((provider, i) => ({ ...agentCapabilities[provider], default: i === 0 }))
    return c.json({ data, next_cursor: null })
  })

  return app
}
