import { listQuery, projectPageSchema, projectSchema } from '@rdev/shared/api/resources'
import { DomainError } from '@rdev/shared/domain/errors'
import { Hono } from 'hono'
import { endpoint } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import type { Deps } from '../ports.ts'
import { json } from './answers.ts'
import { projectParams } from './ids.ts'
import { toPageView, toProjectView } from './views.ts'

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

  return app
}
