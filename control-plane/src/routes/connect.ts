// The upgrades of clusters and attempts. These routes authenticate the caller; the injected handlers have the sockets.

import { connectAttempt, connectCluster } from '@rdev/shared/api/operations/connections'
import { hasScope, type Caller } from '@rdev/shared/domain/api-key'
import { DomainError } from '@rdev/shared/domain/errors'
import { Hono } from 'hono'
import { presentedKey, type Authentication } from '../middleware/auth.ts'
import { handle } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import type { Deps } from '../ports/deps.ts'
import type { TokenClaims } from '../ports/tokens.ts'

export type AttemptClaims = Extract<TokenClaims, { kind: 'attempt' }>

/** Both answer the upgrade. They are called only with an upgrade request of an authenticated caller. */
export interface ConnectHandlers {
  hub(request: Request, clusterId: string, key: Pick<Caller, 'key_id' | 'expires_at'>): Response | Promise<Response>
  /** `judgedAt`: when the token's key was judged; 0: it could not be asked. */
  attempt(request: Request, claims: AttemptClaims, judgedAt: number): Response | Promise<Response>
}

export function connect(deps: Pick<Deps, 'tokens' | 'clock'>, handlers: ConnectHandlers | undefined): Hono<AppEnv> {
  const app = new Hono<AppEnv>()

  handle(app, connectCluster, (c) => {
    const id = c.req.param('id')
    if (c.var.caller.cluster_id !== id) {
      throw new DomainError('FORBIDDEN', `this API key does not speak for cluster ${id}`)
    }
    return upgrade(c.req.raw, handlers).hub(c.req.raw, id, c.var.caller)
  })

  handle(app, connectAttempt, async (c) => {
    const token = presentedKey(c.req.raw.headers)
    const claims = token === undefined ? undefined : await deps.tokens.verify('attempt', token)
    if (!claims) throw new DomainError('UNAUTHORIZED', 'a valid attempt token is required')
    if (claims.task_id !== c.req.param('id') || String(claims.attempt) !== c.req.param('n')) {
      throw new DomainError('FORBIDDEN', 'this token belongs to another attempt')
    }
    const judgedAt = await judge(c.var.auth, deps.clock.now(), claims)
    return upgrade(c.req.raw, handlers).attempt(c.req.raw, claims, judgedAt)
  })

  return app
}

/**
 * A token is worth no more than the key with which its cluster was connected. While the database is away the line is let in, because running
 * work goes on then; the log asks again. Throws like `callerOf`.
 */
async function judge(auth: Authentication, now: number, { key_id, cluster_id }: AttemptClaims): Promise<number> {
  try {
    const caller = await auth.callerOf(key_id)
    if (caller.cluster_id !== cluster_id || !hasScope(caller, 'cluster:connect')) throw new DomainError('UNAUTHORIZED')
    return now
  } catch (error) {
    if (error instanceof DomainError && error.code === 'SERVICE_UNAVAILABLE') return 0
    throw error
  }
}

function upgrade(request: Request, handlers: ConnectHandlers | undefined): ConnectHandlers {
  if (request.headers.get('upgrade')?.toLowerCase() !== 'websocket') throw new DomainError('UPGRADE_REQUIRED')
  if (!handlers) throw new DomainError('SERVICE_UNAVAILABLE', 'this deployment accepts no connections')
  return handlers
}
