import { z } from 'zod'
import { problemSchema } from './problem.ts'
import { taskSchema } from './tasks.ts'

export const maxBatchTasks = 500
/** Bytes. The isolate holds the text, values, statement and answer of a batch at once. The statement has 5 s; 8 MiB took 3.6 s in PGlite. */
export const maxBatchBytes = 4 * 1024 * 1024

/** The handler validates each item on its own, so that a wrong item does not fail the others. */
export const createTasksSchema = z
  .strictObject({
    tasks: z
      .array(z.unknown().meta({ override: { $ref: '#/components/schemas/CreateTask' } }))
      .min(1)
      .max(maxBatchTasks),
  })
  .meta({ id: 'CreateTasks' })

export const taskBatchSchema = z
  .object({
    results: z
      .array(
        z.union([
          z.object({ status: z.literal(202), task: taskSchema }),
          z.object({
            status: z.int().meta({ description: 'As POST /v1/tasks would have answered.' }),
            problem: problemSchema.meta({ description: 'Its pointers begin with `/tasks/{index}`.' }),
          }),
        ]),
      )
      .meta({ description: 'One for each task, in their order.' }),
  })
  .meta({ id: 'TaskBatch' })
export type TaskBatchView = z.infer<typeof taskBatchSchema>
