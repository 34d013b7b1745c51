import { json } from '../operation.ts'
import { taskSchema } from '../tasks.ts'

/** What every operation that queues one task has in common. */
export const queuesTask = {
  tag: 'tasks',
  scope: 'tasks:write',
  idempotent: true,
  answers: { 202: json('The task is queued.', taskSchema, { location: 'Where the task reads back.' }) },
  problems: ['FORBIDDEN', 'NOT_FOUND', 'CONFLICT', 'TOO_MANY_REQUESTS'],
} as const
