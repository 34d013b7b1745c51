import { getOpenApiDocument, getReferencePage } from '@rdev/shared/api/operations/service'
import { operations } from '@rdev/shared/api/operations/operations'
import { Hono } from 'hono'
import { handle } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import { openApiDocument } from '../openapi.ts'
import type { OpenApiDocument } from '../openapi.ts'
import { docsPage } from './docs-page.ts'

/** Makes both answers once, at the first request. */
export function docs(): Hono<AppEnv> {
  const app = new Hono<AppEnv>()
  let document: OpenApiDocument | undefined
  let page: string | undefined
  const theDocument = () => (document ??= openApiDocument(operations))

  handle(app, getOpenApiDocument, (c) =>
    c.body(JSON.stringify(theDocument()), 200, { 'content-type': 'application/json', 'cache-control': 'public, max-age=300' }),
  )

  handle(app, getReferencePage, (c) =>
    c.body((page ??= docsPage(theDocument())), 200, {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'public, max-age=300',
      // The page runs no script and loads nothing; only its own style is allowed.
      'content-security-policy':
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      'referrer-policy': 'no-referrer',
    }),
  )

  return app
}
