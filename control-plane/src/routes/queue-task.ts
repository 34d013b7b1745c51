// What every route that queues one task answers.

import { taskSchema } from '@rdev/shared/api/tasks'
import type { Task } from '@rdev/shared/domain/task'
import type { Context } from 'hono'
import type { AppEnv } from '../middleware/env.ts'
import { json } from './answers.ts'
import { toTaskView } from './views.ts'

export const queuesTask = {
  tag: 'tasks' as const,
  access: { scope: 'tasks:write' as const },
  idempotent: true as const,
  answers: { 202: json('The task is queued.', taskSchema, { location: 'Where the task reads back.' }) },
  problems: ['FORBIDDEN', 'NOT_FOUND', 'CONFLICT', 'TOO_MANY_REQUESTS'] as const,
}

export const answerQueued = (c: Context<AppEnv>, task: Task) => c.json(toTaskView(task), 202, { location: `/v1/tasks/${task.id}` })
