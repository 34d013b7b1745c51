import { z } from 'zod'
import { defineOperation, json } from '../operation.ts'

const aboutService = { method: 'GET', tag: 'service', scope: 'public', project: 'none', audit: null } as const

export const getHealth = defineOperation({
  ...aboutService,
  id: 'getHealth',
  path: '/health',
  summary: 'Is the Worker alive?',
  answers: { 200: json('It answers.', z.object({ status: z.literal('ok') }).meta({ id: 'Health' })) },
})

export const getReadiness = defineOperation({
  ...aboutService,
  id: 'getReadiness',
  path: '/ready',
  summary: 'Can it take work?',
  answers: { 200: json('The database answers.', z.object({ status: z.literal('ready') }).meta({ id: 'Readiness' })) },
  problems: ['SERVICE_UNAVAILABLE'],
})

export const getOpenApiDocument = defineOperation({
  ...aboutService,
  id: 'getOpenApiDocument',
  path: '/openapi.json',
  summary: 'This API as an OpenAPI 3.1 document',
  answers: { 200: json('The document.', z.record(z.string(), z.unknown())) },
})

export const getReferencePage = defineOperation({
  ...aboutService,
  id: 'getReferencePage',
  path: '/docs',
  summary: 'This API as a page to read',
  answers: { 200: { description: 'A page that needs nothing else.', content: { 'text/html': { schema: { type: 'string' } } } } },
})
