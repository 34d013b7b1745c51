import { defineOperation, json } from '../operation.ts'
import { providerPageSchema, workerPageSchema } from '../resources.ts'

export const listWorkers = defineOperation({
  id: 'listWorkers',
  method: 'GET',
  path: '/v1/workers',
  summary: 'List the pods that tasks run in',
  description:
    'As the connected clusters report them now. A key with a list of projects sees only the clusters that these are in: their pods, and those of the pool.',
  tag: 'fleet',
  scope: 'workers:read',
  project: 'caller',
  answers: { 200: json('All pods, and the clusters that were asked.', workerPageSchema) },
  audit: null,
})

export const listProviders = defineOperation({
  id: 'listProviders',
  method: 'GET',
  path: '/v1/providers',
  summary: 'List the coding agents',
  tag: 'fleet',
  scope: 'workers:read',
  project: 'none',
  answers: { 200: json('Every provider; the first is the default.', providerPageSchema) },
  audit: null,
})
