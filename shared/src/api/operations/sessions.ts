import { defineOperation, json } from '../operation.ts'
import { sessionParams } from '../params.ts'
import { listSessionsQuery, sessionPageSchema, sessionSchema } from '../resources.ts'

export const listSessions = defineOperation({
  id: 'listSessions',
  method: 'GET',
  path: '/v1/sessions',
  summary: 'List sessions',
  description: 'Conversations that tasks can continue by `session_id`, newest first.',
  tag: 'sessions',
  scope: 'sessions:read',
  project: 'caller',
  query: listSessionsQuery,
  answers: { 200: json('A page of sessions.', sessionPageSchema) },
  audit: null,
})

export const getSession = defineOperation({
  id: 'getSession',
  method: 'GET',
  path: '/v1/sessions/:id',
  summary: 'Read a session',
  tag: 'sessions',
  scope: 'sessions:read',
  project: 'session',
  params: sessionParams,
  answers: { 200: json('The session.', sessionSchema) },
  audit: null,
})
