// The door of a route, and its page in the reference: access, parameters and body are checked by the very schemas that
// `/openapi.json` shows. A handler behind it gets a known caller with the scope, and parsed values by `c.req.valid`.

import { hasScope } from '@rdev/shared/domain/api-key'
import type { Scope } from '@rdev/shared/domain/api-key'
import { DomainError } from '@rdev/shared/domain/errors'
import type { ErrorCode } from '@rdev/shared/domain/errors'
import type { Context, MiddlewareHandler } from 'hono'
import type { z } from 'zod'
import { presentedKey } from './auth.ts'
import { maxBodyBytes, readJson, refuseUnstorable } from './body.ts'
import type { AppEnv } from './env.ts'
import { parseBody, parseQuery } from './validation.ts'

export const tags = ['tasks', 'projects', 'sessions', 'fleet', 'keys', 'service', 'connections'] as const

/**
 * `public`: nobody is asked. `scope`: an API key that has it; with `orTicket` a stream ticket does as well, and with `attempt`
 * only an attempt's token: these two are checked by the handler, which knows what the token has to match.
 */
export type Access = 'public' | 'attempt' | { readonly scope: Scope; readonly orTicket?: true }

export interface Answer {
  readonly description: string
  /** By media type; a problem, an empty answer and an upgrade have none. */
  readonly content?: Readonly<Record<string, z.ZodType | { readonly schema: { readonly type: 'string' } }>>
  readonly headers?: Readonly<Record<string, string>>
}

export interface EndpointDoc<Query extends z.ZodType = z.ZodType, Body extends z.ZodType = z.ZodType> {
  readonly summary: string
  readonly description?: string
  readonly tag: (typeof tags)[number]
  readonly access: Access
  /** A path parameter of the wrong shape names nothing, so it is a 404. */
  readonly params?: Readonly<Record<string, z.ZodType<string>>>
  readonly query?: Query
  readonly headers?: Readonly<Record<string, z.ZodType>>
  readonly body?: Body
  /** Where it is not the usual. */
  readonly maxBodyBytes?: number
  /** Items of the body are checked by the handler, each by itself; that they can be stored, too. */
  readonly eachOnItsOwn?: true
  /** Creates something: takes an `Idempotency-Key`. The handler makes ids of `c.var.making`. */
  readonly idempotent?: true
  readonly answers: Readonly<Record<number, Answer>>
  /** Problems beyond those that access, parameters, query and body imply. */
  readonly problems?: readonly ErrorCode[]
}

const docs = new WeakMap<object, EndpointDoc>()
/** The page of a handler that `endpoint` made. */
export const docOf = (handler: object): EndpointDoc | undefined => docs.get(handler)

/** Values of the query and the body, by Hono's words for them. */
interface Valid<Query, Body> {
  in: { query: Query; json: Body }
  out: { query: Query; json: Body }
}

export function endpoint<Path extends string, Query extends z.ZodType = z.ZodNever, Body extends z.ZodType = z.ZodNever>(
  doc: EndpointDoc<Query, Body>,
): MiddlewareHandler<AppEnv, Path, Valid<z.output<Query>, z.output<Body>>> {
  const { access, params = {}, query, body, idempotent } = doc
  const handler: MiddlewareHandler<AppEnv, Path, Valid<z.output<Query>, z.output<Body>>> = async (c, next) => {
    if (typeof access === 'object' && !(access.orTicket && presentedKey(c.req.raw.headers) === undefined && c.req.query('ticket'))) {
      await admit(c, access.scope)
    }
    for (const [name, schema] of Object.entries(params)) {
      if (!schema.safeParse(c.req.param(name)).success) throw new DomainError('NOT_FOUND')
    }
    if (query) c.req.addValidatedData('query', parseQuery(query, c.req.queries()) as {})
    let text = ''
    if (body) {
      const read = await readJson(c.req.raw, doc.maxBodyBytes ?? maxBodyBytes)
      text = read.text
      if (!doc.eachOnItsOwn) refuseUnstorable(read.value)
      c.req.addValidatedData('json', parseBody(body, read.value) as {})
    }
    return idempotent ? c.var.idempotency.once(c, text, next) : next()
  }
  docs.set(handler, doc)
  return handler
}

async function admit(c: Context<AppEnv>, scope: Scope): Promise<void> {
  const caller = await c.var.auth.authenticate(presentedKey(c.req.raw.headers))
  if (!hasScope(caller, scope)) throw new DomainError('FORBIDDEN', `this API key lacks the scope ${scope}`)
  c.set('caller', caller)
}
