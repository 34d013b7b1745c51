import { defineOperation, json } from '../operation.ts'
import { queueQuery, queueSchema } from '../queue.ts'

export const getQueue = defineOperation({
  id: 'getQueue',
  method: 'GET',
  path: '/v1/queue',
  summary: 'See what is queued, and why it waits',
  description: 'By project and priority. Why a particular task waits: `head` of its project, if it is the first, else those before it.',
  tag: 'tasks',
  scope: 'tasks:read',
  project: 'caller',
  query: queueQuery,
  answers: { 200: json('The queue as it is now.', queueSchema) },
  audit: null,
})
