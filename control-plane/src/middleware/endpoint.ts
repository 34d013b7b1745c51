// Registers handlers of operations. Before a handler runs, the caller's rights, the parameters and the body are checked by the same data that
// `/openapi.json` shows. The handler gets an authenticated caller with the scope, and parsed values by `c.req.valid`. All routes use `handle`.

import type { BodyOf, Operation, ProjectRule, QueryOf } from '@rdev/shared/api/operation'
import { hasScope } from '@rdev/shared/domain/api-key'
import type { Scope } from '@rdev/shared/domain/api-key'
import { DomainError } from '@rdev/shared/domain/errors'
import type { Context, Handler, Hono, MiddlewareHandler } from 'hono'
import { presentedKey } from './auth.ts'
import type { AppEnv } from './env.ts'
import { batchTextBudget, bodyBudget, outerOutOfBudget, outOfBudget } from './json-budget.ts'
import { maxBodyBytes, parseBody, parseQuery, readJson } from './validation.ts'

/** Parsed values of the query and the body, under Hono's names. */
interface Valid<Op> {
  in: { query: QueryOf<Op>; json: BodyOf<Op> }
  out: { query: QueryOf<Op>; json: BodyOf<Op> }
}

const doors = new WeakMap<object, Operation>()
/** The operation whose checks this middleware makes; undefined for other middleware. */
export const operationOf = (door: object): Operation | undefined => doors.get(door)

/** Registers the handler of an operation at its method and path, behind its checks. The handler finds the operation in `c.var.operation`. */
export function handle<const Op extends Operation>(
  app: Hono<AppEnv>,
  operation: Op,
  handler: Handler<AppEnv, Op['path'], Valid<Op>>,
): void {
  const door = doorOf(operation)
  doors.set(door, operation)
  app.on(operation.method, operation.path, door, handler as Handler<AppEnv>)
}

function doorOf(operation: Operation): MiddlewareHandler<AppEnv> {
  const { scope, project, ticket, params = {}, query, body, eachOnItsOwn, idempotent } = operation
  return async (c, next) => {
    c.set('operation', operation)
    // The handler itself checks tickets and attempts' tokens, because it knows what they must match.
    const byTicket = ticket && presentedKey(c.req.raw.headers) === undefined && c.req.query('ticket')
    if (scope !== 'public' && scope !== 'attempt' && !byTicket) await admit(c, scope, project)
    for (const [name, schema] of Object.entries(params)) {
      if (!schema.safeParse(c.req.param(name)).success) throw new DomainError('NOT_FOUND')
    }
    if (query) c.req.addValidatedData('query', parseQuery(query, c.req.queries()) as {})
    let text = ''
    if (body) {
      const read = await readJson(c.req.raw, operation.maxBodyBytes ?? maxBodyBytes, eachOnItsOwn ? batchTextBudget() : bodyBudget())
      text = read.text
      const wrong = eachOnItsOwn ? outerOutOfBudget(read.value) : outOfBudget(read.value, [], bodyBudget())
      if (wrong) throw wrong
      c.req.addValidatedData('json', parseBody(body, read.value) as {})
    }
    return idempotent ? c.var.idempotency.once(c, text, next) : next()
  }
}

async function admit(c: Context<AppEnv>, scope: Scope, project: ProjectRule): Promise<void> {
  const caller = await c.var.auth.authenticate(presentedKey(c.req.raw.headers))
  if (!hasScope(caller, scope)) throw new DomainError('FORBIDDEN', `this API key lacks the scope ${scope}`)
  if (project === 'service' && caller.project_ids !== null)
    throw new DomainError('FORBIDDEN', 'only an API key of every project may do that')
  c.set('caller', caller)
  c.set('actor', { ...caller, request_id: c.var.requestId })
}
