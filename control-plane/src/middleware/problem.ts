// The only translator of errors to HTTP problems (RFC 9457). An unknown error is a bug: it is logged once, and the client gets a plain 500.

import type { Problem } from '@rdev/shared/api/problem'
import { DomainError, errorCodes } from '@rdev/shared/domain/errors'
import type { ErrorCode } from '@rdev/shared/domain/errors'
import type { Context, ErrorHandler, Hono, NotFoundHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { METHODS } from 'hono/router'
import { routePath } from 'hono/route'
import type { Deps } from '../ports/deps.ts'
import type { AppEnv } from './env.ts'

export function toProblem({ code, message, fields }: DomainError, requestId: string): Problem {
  const { status, title } = errorCodes[code]
  const errors = fields.length > 0 && { errors: [...fields] }
  return { type: 'about:blank', title, status, detail: message, code, request_id: requestId, ...errors }
}

function problem(c: Context<AppEnv>, error: DomainError): Response {
  const { status } = errorCodes[error.code]
  const body = toProblem(error, c.var.requestId)
  c.header('cache-control', 'no-store')
  if (status === 401) c.header('www-authenticate', 'Bearer realm="rdev"')
  const retryAfterS = error.retryAfterS ?? (status === 503 ? 1 : null)
  if (retryAfterS !== null) c.header('retry-after', String(retryAfterS))
  if (status === 426) c.header('upgrade', 'websocket')
  return c.body(JSON.stringify(body), status, { 'content-type': 'application/problem+json' })
}

export const onError =
  ({ log }: Pick<Deps, 'log'>): ErrorHandler<AppEnv> =>
  (error, c) => {
    const known = error instanceof DomainError ? error : fromHttpException(error)
    const answer = known ?? new DomainError('INTERNAL_ERROR')
    if (errorCodes[answer.code].status >= 500) {
      log('error', 'request failed', { request_id: c.var.requestId, method: c.req.method, route: routePath(c, -1), ...facts(error) })
    }
    return problem(c, answer)
  }

function fromHttpException(error: Error): DomainError | undefined {
  if (!(error instanceof HTTPException)) return undefined
  const codes = Object.keys(errorCodes) as ErrorCode[]
  const code = codes.find((code) => errorCodes[code].status === error.status)
  return code && errorCodes[code].status < 500 ? new DomainError(code) : undefined
}

/**
 * Describes a bug without customer data. The message of a database library holds the statement's parameters, so only the innermost cause's
 * message is logged, shortened, and of the outer error only its stack frames.
 */
function facts(error: Error): Readonly<Record<string, unknown>> {
  let cause = error
  for (let depth = 0; depth < 5 && cause.cause instanceof Error; depth++) cause = cause.cause
  const frames = error.stack?.split('\n').filter((line) => line.startsWith('    at '))
  return { error: cause.name, reason: cause.message.slice(0, 300), stack: frames?.slice(0, 8).join('\n') }
}

/** 404, or 405 with `Allow` where the path exists under another method. */
export const notFound =
  (app: Hono<AppEnv>): NotFoundHandler<AppEnv> =>
  (c) => {
    const allowed = METHODS.map((method) => method.toUpperCase()).filter((method) =>
      app.router.match(method, c.req.path)[0].some(([[, route]]) => route.method !== 'ALL'),
    )
    if (allowed.length === 0) return problem(c, new DomainError('NOT_FOUND', 'there is nothing at this path'))
    c.header('allow', allowed.join(', '))
    return problem(c, new DomainError('METHOD_NOT_ALLOWED', `this path has ${allowed.join(', ')}`))
  }
