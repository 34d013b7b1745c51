import type { Task } from '@rdev/shared/domain/task'
import type { Context } from 'hono'
import type { AppEnv } from '../middleware/env.ts'
import { toTaskView } from './views.ts'

/** The answer of every operation that queues one task. */
export const answerQueued = (c: Context<AppEnv>, task: Task) => c.json(toTaskView(task), 202, { location: `/v1/tasks/${task.id}` })
