import { z } from 'zod'
import { maxQueueLanes, queueReasons } from '../domain/queue.ts'
import { instantSchema } from './pages.ts'
import { projectIdSchema } from './tasks.ts'

export const queueQuery = z.strictObject({ project_id: projectIdSchema.optional().meta({ description: 'Only this project.' }) })

const queueHeadSchema = z
  .object({
    task_id: z.string(),
    reason: z.enum(queueReasons).meta({
      description:
        '`due`: it goes to the next free slot. `later`: `until` has not come. `paused`: the project is. `pool_not_allowed`: it would ' +
        'run in a worker, and the project has no `allow_pool`. `max_running`: so many of the project run. `workspace`, `session`: another task, `by`, has it. `agent_away`: the cluster is not connected. `no_pod`: no pod ' +
        'for it is ready. `no_place`: all slots of such pods are taken.',
    }),
    until: instantSchema.nullable().meta({ description: 'With `later`.' }),
    by: z.string().nullable().meta({ description: 'With `workspace` and `session`: the task that it waits for, where one is known.' }),
  })
  .meta({ id: 'QueueHead', description: 'The first task of a lane, and why it is not running.' })

export const queueLaneSchema = z
  .object({
    project_id: z.string(),
    cluster_id: z.string(),
    depth: z.int().meta({ description: 'Queued tasks.' }),
    live: z.int().meta({ description: 'Leased and running tasks.' }),
    max_running: z.int(),
    weight: z.int(),
    max_queued: z.int(),
    paused: z.boolean(),
    oldest_at: instantSchema.meta({ description: 'When the task that has waited longest was created.' }),
    priorities: z.array(z.object({ priority: z.int(), depth: z.int() })),
    head: queueHeadSchema,
  })
  .meta({ id: 'QueueLane', description: 'What one project has queued.' })

export const queueSchema = z
  .object({
    depth: z.int().meta({ description: 'Queued tasks of the lanes shown.' }),
    live: z.int().meta({ description: 'Leased and running tasks of the lanes shown.' }),
    oldest_at: instantSchema.nullable(),
    lanes: z.array(queueLaneSchema).meta({ description: `Projects that have something queued, deepest first, at most ${maxQueueLanes}.` }),
    more_lanes: z.boolean().meta({ description: 'Others have something queued as well.' }),
    clusters: z.array(z.object({ id: z.string(), connected: z.boolean() })).meta({ description: 'Those of the lanes.' }),
  })
  .meta({ id: 'Queue' })
export type QueueView = z.infer<typeof queueSchema>
