import { changeProjectSchema, listQuery, projectPageSchema, projectSchema } from '@rdev/shared/api/resources'
import { DomainError } from '@rdev/shared/domain/errors'
import type { ProjectChange } from '@rdev/shared/domain/project'
import { Hono } from 'hono'
import type { Context } from 'hono'
import type { z } from 'zod'
import { endpoint } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import type { Deps } from '../ports/deps.ts'
import { changeProject } from '../usecases/change-project.ts'
import { json } from './answers.ts'
import { projectParams } from './ids.ts'
import { laterOf } from './later.ts'
import { toPageView, toProjectView } from './views.ts'

/** Without the fields that were left out. */
const present = (change: z.infer<typeof changeProjectSchema>): ProjectChange =>
  Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined))

export function projects(deps: Deps): Hono<AppEnv> {
  const app = new Hono<AppEnv>()

  app.get(
    '/v1/projects',
    endpoint({
      summary: 'List projects',
      description: 'A project comes into being when its cluster first reports its pod.',
      tag: 'projects',
      access: { scope: 'projects:read' },
      query: listQuery,
      answers: { 200: json('A page of projects.', projectPageSchema) },
    }),
    async (c) => c.json(toPageView(await deps.projects.list(c.var.caller.project_ids, c.req.valid('query')), toProjectView)),
  )

  app.get(
    '/v1/projects/:id',
    endpoint({
      summary: 'Read a project',
      tag: 'projects',
      access: { scope: 'projects:read' },
      params: projectParams,
      answers: { 200: json('The project.', projectSchema) },
    }),
    async (c) => {
      const project = await deps.projects.get(c.req.param('id'), c.var.caller.project_ids)
      if (!project) throw new DomainError('NOT_FOUND', 'there is no such project')
      return c.json(toProjectView(project))
    },
  )

  const changing = {
    tag: 'projects' as const,
    access: { scope: 'projects:write' as const },
    params: projectParams,
    answers: { 200: json('The project as it is now.', projectSchema) },
  }
  const change = async (c: Context<AppEnv>, id: string, wanted: ProjectChange) =>
    c.json(toProjectView(await changeProject(deps, id, c.var.caller.project_ids, wanted, laterOf(c))))

  app.patch(
    '/v1/projects/:id',
    endpoint({
      ...changing,
      summary: 'Set limits of a project',
      description: 'Sets what is given. A lower limit ends nothing: what runs goes on, and what is queued stays.',
      body: changeProjectSchema,
    }),
    (c) => change(c, c.req.param('id'), present(c.req.valid('json'))),
  )
  app.post(
    '/v1/projects/:id/pause',
    endpoint({
      ...changing,
      summary: 'Pause a project',
      description: 'Nothing of it is started from now on; what runs goes on, and tasks can still be queued. Safe to repeat.',
    }),
    (c) => change(c, c.req.param('id'), { paused: true }),
  )
  app.post(
    '/v1/projects/:id/resume',
    endpoint({ ...changing, summary: 'Resume a project', description: 'What is queued goes on at once. Safe to repeat.' }),
    (c) => change(c, c.req.param('id'), { paused: false }),
  )

  return app
}
