import { defineOperation, json } from '../operation.ts'
import { projectParams } from '../params.ts'
import { changeProjectSchema, createProjectSchema, listQuery, projectPageSchema, projectSchema } from '../resources.ts'

export const listProjects = defineOperation({
  id: 'listProjects',
  method: 'GET',
  path: '/v1/projects',
  summary: 'List projects',
  description: 'A project is registered by hand, or when its cluster first reports its pod with a key that names the project.',
  tag: 'projects',
  scope: 'projects:read',
  project: 'caller',
  query: listQuery,
  answers: { 200: json('A page of projects.', projectPageSchema) },
  audit: null,
})

export const createProject = defineOperation({
  id: 'createProject',
  method: 'POST',
  path: '/v1/projects',
  summary: 'Register a project',
  description:
    'Says which cluster a project belongs to. What the cluster reports of its pod counts from then on. For a key of every project only. Safe to repeat.',
  tag: 'projects',
  scope: 'projects:write',
  project: 'service',
  body: createProjectSchema,
  answers: {
    201: json('The project.', projectSchema, { location: 'Where the project reads back.' }),
  },
  problems: ['CONFLICT'],
  audit: 'project.create',
})

export const getProject = defineOperation({
  id: 'getProject',
  method: 'GET',
  path: '/v1/projects/:id',
  summary: 'Read a project',
  tag: 'projects',
  scope: 'projects:read',
  project: 'path.id',
  params: projectParams,
  answers: { 200: json('The project.', projectSchema) },
  audit: null,
})

const changesProject = {
  tag: 'projects',
  scope: 'projects:write',
  project: 'path.id',
  params: projectParams,
  answers: { 200: json('The project as it is now.', projectSchema) },
} as const

export const updateProject = defineOperation({
  ...changesProject,
  id: 'updateProject',
  method: 'PATCH',
  path: '/v1/projects/:id',
  summary: 'Set limits of a project',
  description:
    'Sets what is given. A lower limit ends nothing: what runs goes on, and what is queued stays. Only a key of every project sets `allow_pool`.',
  body: changeProjectSchema,
  audit: 'project.update',
})

export const pauseProject = defineOperation({
  ...changesProject,
  id: 'pauseProject',
  method: 'POST',
  path: '/v1/projects/:id/pause',
  summary: 'Pause a project',
  description: 'Nothing of it is started from now on; what runs goes on, and tasks can still be queued. Safe to repeat.',
  audit: 'project.pause',
})

export const resumeProject = defineOperation({
  ...changesProject,
  id: 'resumeProject',
  method: 'POST',
  path: '/v1/projects/:id/resume',
  summary: 'Resume a project',
  description: 'What is queued goes on at once. Safe to repeat.',
  audit: 'project.resume',
})
