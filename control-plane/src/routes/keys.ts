import { createKeySchema, createdKeySchema, keyPageSchema, keySchema, listQuery } from '@rdev/shared/api/resources'
import { Hono } from 'hono'
import type { Context } from 'hono'
import { sha256Hex } from '../middleware/auth.ts'
import { endpoint } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import type { Deps } from '../ports/deps.ts'
import { createKey } from '../usecases/create-key.ts'
import { maySeeKey } from '../usecases/key-rights.ts'
import { getKey, revokeKey } from '../usecases/revoke-key.ts'
import { json } from './answers.ts'
import { keyParams } from './ids.ts'
import { toKeyView } from './views.ts'

export function keys(deps: Deps): Hono<AppEnv> {
  const app = new Hono<AppEnv>()

  app.post(
    '/v1/keys',
    endpoint({
      summary: 'Create an API key',
      description: 'The key is shown this one time. A key can grant only scopes and projects that it has itself.',
      tag: 'keys',
      access: { scope: 'keys:write' },
      body: createKeySchema,
      answers: { 201: json('The new key.', createdKeySchema, { location: 'Where the key reads back, without its secret.' }) },
    }),
    async (c) => {
      const { expires_at, ...asked } = c.req.valid('json')
      const expiresAt = expires_at === null ? null : Date.parse(expires_at)
      const { key, row } = await createKey(deps, sha256Hex, c.var.caller, { ...asked, expires_at: expiresAt })
      return c.json({ ...toKeyView(row), key }, 201, { location: `/v1/keys/${row.id}` })
    },
  )

  app.get(
    '/v1/keys',
    endpoint({
      summary: 'List API keys',
      description:
        'Newest first. A key with a list of projects sees only keys inside that list; a page of it can then hold fewer than `limit`.',
      tag: 'keys',
      access: { scope: 'keys:read' },
      query: listQuery,
      answers: { 200: json('A page of keys.', keyPageSchema) },
    }),
    async (c) => {
      const page = await deps.keys.list(c.req.valid('query'))
      const data = page.data.filter((key) => maySeeKey(c.var.caller, key)).map(toKeyView)
      return c.json({ data, next_cursor: page.next_cursor })
    },
  )

  app.get(
    '/v1/keys/:id',
    endpoint({
      summary: 'Read an API key',
      tag: 'keys',
      access: { scope: 'keys:read' },
      params: keyParams,
      answers: { 200: json('The key, without its secret.', keySchema) },
    }),
    async (c) => c.json(toKeyView(await getKey(deps, c.var.caller, c.req.param('id')))),
  )

  const revoke = async (c: Context<AppEnv>, id: string) => {
    const revoked = await revokeKey(deps, c.var.caller, id)
    c.var.auth.forget(revoked)
    return c.json(toKeyView(revoked))
  }
  const revoking = {
    description: 'Takes effect within 5 s everywhere, and ends open streams within 60 s. Safe to repeat.',
    tag: 'keys' as const,
    access: { scope: 'keys:write' as const },
    params: keyParams,
    answers: { 200: json('The revoked key.', keySchema) },
    problems: ['FORBIDDEN'] as const,
  }
  app.post('/v1/keys/:id/revoke', endpoint({ ...revoking, summary: 'Revoke an API key' }), (c) => revoke(c, c.req.param('id')))
  app.delete('/v1/keys/:id', endpoint({ ...revoking, summary: 'Revoke an API key (the same as POST …/revoke)' }), (c) =>
    revoke(c, c.req.param('id')),
  )

  return app
}
