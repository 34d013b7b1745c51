import { workerPageSchema } from '@rdev/shared/api/resources'
import { mayUseProject } from '@rdev/shared/domain/api-key'
import { Hono } from 'hono'
import { endpoint } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import type { Deps } from '../ports/deps.ts'
import { json } from './answers.ts'
import { toWorkerView } from './views.ts'

export function workers(deps: Deps): Hono<AppEnv> {
  const app = new Hono<AppEnv>()

  app.get(
    '/v1/workers',
    endpoint({
      summary: 'List the pods that tasks run in',
      description: 'As the connected clusters report them now. A key with a list of projects sees their pods and those of the pool.',
      tag: 'fleet',
      access: { scope: 'workers:read' },
      answers: { 200: json('All pods, and the clusters that were asked.', workerPageSchema) },
    }),
    async (c) => {
      const clusters = await deps.clusters.list()
      const known = await Promise.all(clusters.map(async ({ id }) => ({ id, ...(await deps.hubs.status(id)) })))
      const data = known.flatMap((cluster) =>
        cluster.pods
          .filter(({ project_id }) => project_id === null || mayUseProject(c.var.caller, project_id))
          .map((pod) => toWorkerView(cluster.id, pod)),
      )
      return c.json({
        data,
        next_cursor: null,
        clusters: known.map(({ id, connected, agent_version }) => ({ id, connected, agent_version })),
      })
    },
  )

  return app
}
