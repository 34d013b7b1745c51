import { listWorkers } from '@rdev/shared/api/operations/fleet'
import { mayUseProject, type Caller } from '@rdev/shared/domain/api-key'
import { Hono } from 'hono'
import { handle } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import type { Deps } from '../ports/deps.ts'
import { toWorkerView } from './views.ts'

export function workers(deps: Deps): Hono<AppEnv> {
  const app = new Hono<AppEnv>()

  handle(app, listWorkers, async (c) => {
    const clusters = await clustersOf(deps, c.var.caller)
    const known = await Promise.all(clusters.map(async (id) => ({ id, ...(await deps.hubs.status(id)) })))
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
  })

  return app
}

/** A key with a list of projects knows the clusters of these projects, and of no other cluster that it is there. */
async function clustersOf(
  { clusters, projects }: Pick<Deps, 'clusters' | 'projects'>,
  { project_ids }: Caller,
): Promise<readonly string[]> {
  if (project_ids === null) return (await clusters.list()).map(({ id }) => id)
  const mine = await projects.getMany(project_ids, project_ids)
  return [...new Set(mine.map(({ cluster_id }) => cluster_id))].sort()
}
