import { streamTicketSchema } from '@rdev/shared/api/events'
import { toInstant } from '@rdev/shared/api/pages'
import { createTaskSchema, getTaskQuery, listTasksQuery, taskPageSchema, taskSchema } from '@rdev/shared/api/tasks'
import { Hono } from 'hono'
import { endpoint } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import type { Deps } from '../ports/deps.ts'
import { cancelTask } from '../usecases/cancel-task.ts'
import { createTask } from '../usecases/create-task.ts'
import { issueTicket } from '../usecases/issue-ticket.ts'
import { retryTask } from '../usecases/retry-task.ts'
import { waitForTask } from '../usecases/wait-for-task.ts'
import { json } from './answers.ts'
import { taskParams } from './ids.ts'
import { laterOf } from './later.ts'
import { answerQueued, queuesTask } from './queue-task.ts'
import { toAskedTask } from './task-spec.ts'
import { toPageView, toTaskView } from './views.ts'

export function tasks(deps: Deps): Hono<AppEnv> {
  const app = new Hono<AppEnv>()

  app.post(
    '/v1/tasks',
    endpoint({
      summary: 'Queue a task',
      description: 'Answers as soon as the task is kept; follow it at `events_url`.',
      ...queuesTask,
      body: createTaskSchema,
    }),
    async (c) =>
      answerQueued(c, await createTask({ ...deps, ...c.var.making }, c.var.caller, toAskedTask(c.req.valid('json')), laterOf(c))),
  )

  app.post(
    '/v1/tasks/:id/retry',
    endpoint({
      summary: 'Do an ended task again',
      description:
        'A new task that asks for the same, at once: same session, workspace, labels and metadata; its `retry_of` names this one, which ' +
        'stays as it ended. Only of a task that has ended. Each call queues another one: send an `Idempotency-Key`.',
      ...queuesTask,
      params: taskParams,
    }),
    async (c) => answerQueued(c, await retryTask({ ...deps, ...c.var.making }, c.var.caller, c.req.param('id'), laterOf(c))),
  )

  app.get(
    '/v1/tasks',
    endpoint({
      summary: 'List tasks',
      description: 'Newest first.',
      tag: 'tasks',
      access: { scope: 'tasks:read' },
      query: listTasksQuery,
      answers: { 200: json('A page of tasks.', taskPageSchema) },
    }),
    async (c) => {
      const { cursor, limit, ...filter } = c.req.valid('query')
      const page = await deps.tasks.list({ ...filter, projects: c.var.caller.project_ids }, { cursor, limit })
      return c.json(toPageView(page, toTaskView))
    },
  )

  app.get(
    '/v1/tasks/:id',
    endpoint({
      summary: 'Read a task',
      tag: 'tasks',
      access: { scope: 'tasks:read' },
      params: taskParams,
      query: getTaskQuery,
      answers: { 200: json('The task as it is now.', taskSchema) },
    }),
    async (c) => {
      const waitMs = (c.req.valid('query').wait_s ?? 0) * 1000
      const task = await waitForTask(deps, c.req.param('id'), c.var.caller.project_ids, waitMs, c.req.raw.signal)
      return c.json(toTaskView(task))
    },
  )

  app.post(
    '/v1/tasks/:id/cancel',
    endpoint({
      summary: 'Cancel a task',
      description:
        'A queued task ends at once. A running one is asked to stop and ends `cancelled` when none of its processes is left. ' +
        'A task that has ended is answered unchanged. Safe to repeat.',
      tag: 'tasks',
      access: { scope: 'tasks:write' },
      params: taskParams,
      answers: { 200: json('The task; `cancel_requested_at` tells that the wish is known.', taskSchema) },
    }),
    async (c) => c.json(toTaskView(await cancelTask(deps, c.req.param('id'), c.var.caller.project_ids, laterOf(c)))),
  )

  app.post(
    '/v1/tasks/:id/tickets',
    endpoint({
      summary: 'Make a stream ticket',
      description: 'For EventSource in browsers, which cannot set headers. Good for 60 s and for the events of this task only.',
      tag: 'tasks',
      access: { scope: 'tasks:read' },
      params: taskParams,
      answers: { 201: json('The ticket, and the URL to open with it.', streamTicketSchema) },
    }),
    async (c) => {
      const id = c.req.param('id')
      const { ticket, expires_at } = await issueTicket(deps, c.var.caller, id)
      return c.json({ ticket, url: `/v1/tasks/${id}/events?ticket=${ticket}`, expires_at: toInstant(expires_at) }, 201)
    },
  )

  return app
}
