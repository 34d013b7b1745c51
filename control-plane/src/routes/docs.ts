import { Hono } from 'hono'
import { z } from 'zod'
import { endpoint } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import { openApiDocument } from '../openapi.ts'
import type { OpenApiDocument } from '../openapi.ts'
import { json } from './answers.ts'
import { docsPage } from './docs-page.ts'

/** `routes` is asked at the first request, when all of them are registered. Both answers are made once. */
export function docs(routes: () => Parameters<typeof openApiDocument>[0]): Hono<AppEnv> {
  const app = new Hono<AppEnv>()
  let document: OpenApiDocument | undefined
  let page: string | undefined
  const theDocument = () => (document ??= openApiDocument(routes()))

  app.get(
    '/openapi.json',
    endpoint({
      summary: 'This API as an OpenAPI 3.1 document',
      tag: 'service',
      access: 'public',
      answers: { 200: json('The document.', z.record(z.string(), z.unknown())) },
    }),
    (c) => c.body(JSON.stringify(theDocument()), 200, { 'content-type': 'application/json', 'cache-control': 'public, max-age=300' }),
  )

  app.get(
    '/docs',
    endpoint({
      summary: 'This API as a page to read',
      tag: 'service',
      access: 'public',
      answers: { 200: { description: 'A page that needs nothing else.', content: { 'text/html': { schema: { type: 'string' } } } } },
    }),
    (c) =>
      c.body((page ??= docsPage(theDocument())), 200, {
        'content-type': 'text/html; charset=utf-8',
        'cache-control': 'public, max-age=300',
        // The page runs nothing and loads nothing; only its own style is let in.
        'content-security-policy':
          "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        'referrer-policy': 'no-referrer',
      }),
  )

  return app
}
