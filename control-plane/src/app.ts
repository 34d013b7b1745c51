// The HTTP side of the control plane: middleware, then every route at its path. It gets its dependencies; it imports no store and no object.

import { Hono } from 'hono'
import { createAuthentication } from './middleware/auth.ts'
import { drainRest } from './middleware/drain.ts'
import type { AppEnv } from './middleware/env.ts'
import { createIdempotency } from './middleware/idempotency.ts'
import { otherOrigins } from './middleware/other-origins.ts'
import { notFound, onError } from './middleware/problem.ts'
import { requestId } from './middleware/request-id.ts'
import type { Deps } from './ports/deps.ts'
import { connect } from './routes/connect.ts'
import type { ConnectHandlers } from './routes/connect.ts'
import { docs } from './routes/docs.ts'
import { streamLimits } from './routes/event-stream.ts'
import type { StreamLimits } from './routes/event-stream.ts'
import { health } from './routes/health.ts'
import { keys } from './routes/keys.ts'
import { projects } from './routes/projects.ts'
import { providers } from './routes/providers.ts'
import { queue } from './routes/queue.ts'
import { sessions } from './routes/sessions.ts'
import { shortForms } from './routes/short-forms.ts'
import { taskBatch } from './routes/task-batch.ts'
import { taskEvents } from './routes/task-events.ts'
import { tasks } from './routes/tasks.ts'
import { workers } from './routes/workers.ts'

export type { AttemptClaims, ConnectHandlers } from './routes/connect.ts'

export interface AppOptions {
  /** Handlers for the upgrades of clusters and attempts. Without them both paths answer 503. */
  readonly connect?: ConnectHandlers
  readonly streamLimits?: StreamLimits
}

/** Make one app per isolate, because it caches keys for 5 s. */
export function createApp(deps: Deps, options: AppOptions = {}): Hono<AppEnv> {
  const auth = createAuthentication(deps)
  const idempotency = createIdempotency(deps)
  const app = new Hono<AppEnv>()
  app.onError(onError(deps))
  app.notFound(notFound(app))
  app.use(requestId(deps))
  app.use(async (c, next) => {
    c.set('auth', auth)
    c.set('idempotency', idempotency)
    await next()
    await drainRest(c.req.raw)
  })
  app.use(otherOrigins)

  for (const routes of [
    tasks(deps),
    taskBatch(deps),
    queue(deps),
    taskEvents(deps, options.streamLimits ?? streamLimits),
    shortForms(deps),
    projects(deps),
    sessions(deps),
    workers(deps),
    providers(deps),
    keys(deps),
    health(deps),
    connect(deps, options.connect),
    docs(),
  ]) {
    app.route('/', routes)
  }
  return app
}
