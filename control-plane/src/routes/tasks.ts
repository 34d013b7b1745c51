import * as operations from '@rdev/shared/api/operations/tasks'
import { toInstant } from '@rdev/shared/api/pages'
import { toAskedTask } from '@rdev/shared/api/tasks'
import { Hono } from 'hono'
import { handle } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import type { Deps } from '../ports/deps.ts'
import { cancelTask } from '../usecases/cancel-task.ts'
import { createTask } from '../usecases/create-task.ts'
import { issueTicket } from '../usecases/issue-ticket.ts'
import { retryTask } from '../usecases/retry-task.ts'
import { waitForTask } from '../usecases/wait-for-task.ts'
import { laterOf } from './later.ts'
import { answerQueued } from './queue-task.ts'
import { toPageView, toTaskView } from './views.ts'

export function tasks(deps: Deps): Hono<AppEnv> {
  const app = new Hono<AppEnv>()

  handle(app, operations.createTask, async (c) =>
    answerQueued(c, await createTask({ ...deps, ...c.var.making }, c.var.actor, toAskedTask(c.req.valid('json')), laterOf(c))),
  )

  handle(app, operations.retryTask, async (c) =>
    answerQueued(c, await retryTask({ ...deps, ...c.var.making }, c.var.actor, c.req.param('id'), laterOf(c))),
  )

  handle(app, operations.listTasks, async (c) => {
    const { cursor, limit, ...filter } = c.req.valid('query')
    const page = await deps.tasks.list({ ...filter, projects: c.var.caller.project_ids }, { cursor, limit })
    return c.json(toPageView(page, toTaskView))
  })

  handle(app, operations.getTask, async (c) => {
    const waitMs = (c.req.valid('query').wait_s ?? 0) * 1000
    const task = await waitForTask(deps, c.req.param('id'), c.var.caller.project_ids, waitMs, c.req.raw.signal)
    return c.json(toTaskView(task))
  })

  handle(app, operations.cancelTask, async (c) => c.json(toTaskView(await cancelTask(deps, c.req.param('id'), c.var.actor, laterOf(c)))))

  handle(app, operations.createStreamTicket, async (c) => {
    const id = c.req.param('id')
    const { ticket, expires_at } = await issueTicket(deps, c.var.caller, id)
    return c.json({ ticket, url: `/v1/tasks/${id}/events?ticket=${ticket}`, expires_at: toInstant(expires_at) }, 201)
  })

  return app
}
