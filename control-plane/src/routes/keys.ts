import * as operations from '@rdev/shared/api/operations/keys'
import { Hono } from 'hono'
import type { Context } from 'hono'
import { sha256Hex } from '../middleware/auth.ts'
import { handle } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import type { Deps } from '../ports/deps.ts'
import { createKey } from '../usecases/create-key.ts'
import { getKey, revokeKey } from '../usecases/revoke-key.ts'
import { toKeyView, toPageView } from './views.ts'

export function keys(deps: Deps): Hono<AppEnv> {
  const app = new Hono<AppEnv>()

  handle(app, operations.createKey, async (c) => {
    const { expires_at, ...asked } = c.req.valid('json')
    const expiresAt = expires_at === null ? null : Date.parse(expires_at)
    const { key, row } = await createKey(deps, sha256Hex, c.var.actor, { ...asked, expires_at: expiresAt })
    return c.json({ ...toKeyView(row), key }, 201, { location: `/v1/keys/${row.id}` })
  })

  handle(app, operations.listKeys, async (c) => {
    const page = await deps.keys.list(c.var.caller.project_ids, c.req.valid('query'))
    return c.json(toPageView(page, toKeyView))
  })

  handle(app, operations.getKey, async (c) => c.json(toKeyView(await getKey(deps, c.var.caller.project_ids, c.req.param('id')))))

  const revoke = async (c: Context<AppEnv>, id: string) => {
    const revoked = await revokeKey(deps, c.var.actor, id)
    c.var.auth.forget(revoked)
    return c.json(toKeyView(revoked))
  }
  handle(app, operations.revokeKey, (c) => revoke(c, c.req.param('id')))
  handle(app, operations.deleteKey, (c) => revoke(c, c.req.param('id')))

  return app
}
