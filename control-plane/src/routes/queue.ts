import { queueQuery, queueSchema } from '@rdev/shared/api/queue'
import { Hono } from 'hono'
import { endpoint } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import type { Deps } from '../ports/deps.ts'
import { readQueue } from '../usecases/read-queue.ts'
import { json } from './answers.ts'
import { toQueueView } from './views.ts'

export function queue(deps: Deps): Hono<AppEnv> {
  const app = new Hono<AppEnv>()

  app.get(
    '/v1/queue',
    endpoint({
      summary: 'See what is queued, and why it waits',
      description: 'By project and priority. Why a particular task waits: `head` of its project, if it is the first, else those before it.',
      tag: 'tasks',
      access: { scope: 'tasks:read' },
      query: queueQuery,
      answers: { 200: json('The queue as it is now.', queueSchema) },
    }),
    async (c) => {
      const { project_id } = c.req.valid('query')
      return c.json(toQueueView(await readQueue(deps, { projects: c.var.caller.project_ids, ...(project_id && { project_id }) })))
    },
  )

  return app
}
