// The project's page for people in a hurry: the path says project, kind and provider; the answer is that of POST /v1/tasks.

import { shortAgentTaskSchema, shortGitTaskSchema, shortShellTaskSchema, taskSchema } from '@rdev/shared/api/tasks'
import type { CreateTask } from '@rdev/shared/api/tasks'
import { Hono } from 'hono'
import type { Context } from 'hono'
import { endpoint } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import type { Deps } from '../ports.ts'
import { createTask } from '../usecases/create-task.ts'
import { json } from './answers.ts'
import { projectParams } from './ids.ts'
import { laterOf } from './later.ts'
import { toTaskSpec } from './task-spec.ts'
import { toTaskView } from './views.ts'

const shared = {
  tag: 'tasks' as const,
  access: { scope: 'tasks:write' as const },
  params: projectParams,
  answers: { 202: json('The task is queued.', taskSchema, { location: 'Where the task reads back.' }) },
  problems: ['FORBIDDEN', 'NOT_FOUND', 'CONFLICT'] as const,
}

export function shortForms(deps: Deps): Hono<AppEnv> {
  const app = new Hono<AppEnv>()
  const queue = async (c: Context<AppEnv>, body: CreateTask) => {
    const task = await createTask(deps, c.var.caller, toTaskSpec(body), laterOf(c))
    return c.json(toTaskView(task), 202, { location: `/v1/tasks/${task.id}` })
  }

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
