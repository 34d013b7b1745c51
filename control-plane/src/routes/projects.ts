import * as operations from '@rdev/shared/api/operations/projects'
import type { changeProjectSchema } from '@rdev/shared/api/resources'
import { DomainError } from '@rdev/shared/domain/errors'
import type { ProjectChange } from '@rdev/shared/domain/project'
import { Hono } from 'hono'
import type { Context } from 'hono'
import type { z } from 'zod'
import { handle } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import type { Deps } from '../ports/deps.ts'
import { changeProject } from '../usecases/change-project.ts'
import { registerProject } from '../usecases/register-project.ts'
import { laterOf } from './later.ts'
import { toPageView, toProjectView } from './views.ts'

/** Drops the fields that are undefined. */
const present = (change: z.infer<typeof changeProjectSchema>): ProjectChange =>
  Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined))

export function projects(deps: Deps): Hono<AppEnv> {
  const app = new Hono<AppEnv>()

  handle(app, operations.listProjects, async (c) =>
    c.json(toPageView(await deps.projects.list(c.var.caller.project_ids, c.req.valid('query')), toProjectView)),
  )

  handle(app, operations.createProject, async (c) => {
    const project = await registerProject(deps, c.req.valid('json'), c.var.actor, laterOf(c))
    return c.json(toProjectView(project), 201, { location: `/v1/projects/${project.id}` })
  })

  handle(app, operations.getProject, async (c) => {
    const project = await deps.projects.get(c.req.param('id'), c.var.caller.project_ids)
    if (!project) throw new DomainError('NOT_FOUND', 'there is no such project')
    return c.json(toProjectView(project))
  })

  const change = async (c: Context<AppEnv>, id: string, wanted: ProjectChange) =>
    c.json(toProjectView(await changeProject(deps, id, c.var.actor, wanted, laterOf(c))))

  handle(app, operations.updateProject, (c) => change(c, c.req.param('id'), present(c.req.valid('json'))))
  handle(app, operations.pauseProject, (c) => change(c, c.req.param('id'), { paused: true }))
  handle(app, operations.resumeProject, (c) => change(c, c.req.param('id'), { paused: false }))

  return app
}
