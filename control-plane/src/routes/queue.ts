import { getQueue } from '@rdev/shared/api/operations/queue'
import { Hono } from 'hono'
import { handle } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import type { Deps } from '../ports/deps.ts'
import { readQueue } from '../usecases/read-queue.ts'
import { toQueueView } from './views.ts'

export function queue(deps: Deps): Hono<AppEnv> {
  const app = new Hono<AppEnv>()

  handle(app, getQueue, async (c) => {
    const { project_id } = c.req.valid('query')
    return c.json(toQueueView(await readQueue(deps, { projects: c.var.caller.project_ids, ...(project_id && { project_id }) })))
  })

  return app
}
