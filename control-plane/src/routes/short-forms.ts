// The project's page for people in a hurry: the path says project, kind and provider; the answer is that of POST /v1/tasks.

import { shortAgentTaskSchema, shortGitTaskSchema, shortShellTaskSchema } from '@rdev/shared/api/tasks'
import type { CreateTask } from '@rdev/shared/api/tasks'
import { Hono } from 'hono'
import type { Context } from 'hono'
import { endpoint } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import type { Deps } from '../ports/deps.ts'
import { createTask } from '../usecases/create-task.ts'
import { projectParams } from './ids.ts'
import { laterOf } from './later.ts'
import { answerQueued, queuesTask } from './queue-task.ts'
import { toAskedTask } from './task-spec.ts'

const shared = { ...queuesTask, params: projectParams }

export function shortForms(deps: Deps): Hono<AppEnv> {
  const app = new Hono<AppEnv>()
  const queue = async (c: Context<AppEnv>, body: CreateTask) =>
    answerQueued(c, await createTask({ ...deps, ...c.var.making }, c.var.caller, toAskedTask(body), laterOf(c)))

  app.post('/v1/projects/:id/claude', endpoint({ ...shared, summary: 'Run Claude Code in a project', body: shortAgentTaskSchema }), (c) =>
    queue(c, { kind: 'agent', provider: 'claude-code', project_id: c.req.param('id'), ...c.req.valid('json') }),
  )
  app.post('/v1/projects/:id/opencode', endpoint({ ...shared, summary: 'Run OpenCode in a project', body: shortAgentTaskSchema }), (c) =>
    queue(c, { kind: 'agent', provider: 'opencode', project_id: c.req.param('id'), ...c.req.valid('json') }),
  )
  app.post('/v1/projects/:id/shell', endpoint({ ...shared, summary: 'Run a shell script in a project', body: shortShellTaskSchema }), (c) =>
    queue(c, { kind: 'shell', project_id: c.req.param('id'), ...c.req.valid('json') }),
  )
  app.post('/v1/projects/:id/git', endpoint({ ...shared, summary: 'Run git in a project', body: shortGitTaskSchema }), (c) =>
    queue(c, { kind: 'git', project_id: c.req.param('id'), ...c.req.valid('json') }),
  )
  return app
}
