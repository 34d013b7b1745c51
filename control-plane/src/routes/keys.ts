import * as operations from '@rdev/shared/api/operations/keys'
import type { revokeKeyQuery } from '@rdev/shared/api/resources'
import { Hono } from 'hono'
import type { Context } from 'hono'
import type { z } from 'zod'
import { sha256Hex } from '../middleware/auth.ts'
import { handle } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import type { Deps } from '../ports/deps.ts'
import { createKey } from '../usecases/create-key.ts'
import { waitUntil } from '../usecases/later.ts'
import { getKey, revokeKey } from '../usecases/revoke-key.ts'
import { laterOf } from './later.ts'
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

  const revoke = async (c: Context<AppEnv>, id: string, { made_keys }: z.output<typeof revokeKeyQuery>) => {
    const { key, made, along } = await revokeKey(deps, c.var.actor, id, made_keys)
    for (const revoked of [key, ...along]) {
      c.var.auth.forget(revoked)
      const { id: key_id, cluster_id } = revoked
      // A hint: open sockets judge their key again by themselves.
      if (cluster_id !== null)
        void waitUntil(deps, laterOf(c), 'hub was not told of a revoked key', { cluster_id, key_id }, () =>
          deps.hubs.keyRevoked(cluster_id, key_id),
        )
    }
    return c.json({ ...toKeyView(key), made_keys: made.map(toKeyView) })
  }
  handle(app, operations.revokeKey, (c) => revoke(c, c.req.param('id'), c.req.valid('query')))
  handle(app, operations.deleteKey, (c) => revoke(c, c.req.param('id'), c.req.valid('query')))

  return app
}
