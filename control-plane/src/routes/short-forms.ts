// Queueing a task under the project's path, which says project, kind and provider. The answer is that of createTask.

import * as operations from '@rdev/shared/api/operations/short-forms'
import { toAskedTask } from '@rdev/shared/api/tasks'
import type { CreateTask } from '@rdev/shared/api/tasks'
import { Hono } from 'hono'
import type { Context } from 'hono'
import { handle } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import type { Deps } from '../ports/deps.ts'
import { createTask } from '../usecases/create-task.ts'
import { laterOf } from './later.ts'
import { answerQueued } from './queue-task.ts'

export function shortForms(deps: Deps): Hono<AppEnv> {
  const app = new Hono<AppEnv>()
  const queue = async (c: Context<AppEnv>, body: CreateTask) =>
    answerQueued(c, await createTask({ ...deps, ...c.var.making }, c.var.actor, toAskedTask(body), laterOf(c)))

  handle(app, operations.runClaudeCode, (c) =>
    queue(c, { kind: 'agent', provider: 'claude-code', project_id: c.req.param('id'), ...c.req.valid('json') }),
  )
  handle(app, operations.runOpenCode, (c) =>
    queue(c, { kind: 'agent', provider: 'opencode', project_id: c.req.param('id'), ...c.req.valid('json') }),
  )
  handle(app, operations.runShell, (c) => queue(c, { kind: 'shell', project_id: c.req.param('id'), ...c.req.valid('json') }))
  handle(app, operations.runGit, (c) => queue(c, { kind: 'git', project_id: c.req.param('id'), ...c.req.valid('json') }))

  return app
}
