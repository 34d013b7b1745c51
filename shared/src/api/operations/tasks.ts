import { z } from 'zod'
import { createTasksSchema, maxBatchBytes, maxBatchTasks, taskBatchSchema } from '../batch.ts'
import { eventPageSchema, eventsQuery, streamTicketSchema } from '../events.ts'
import { defineOperation, json } from '../operation.ts'
import { taskParams } from '../params.ts'
import { createTaskSchema, getTaskQuery, listTasksQuery, taskPageSchema, taskSchema } from '../tasks.ts'
import { queuesTask } from './queues-task.ts'

export const createTask = defineOperation({
  ...queuesTask,
  id: 'createTask',
  method: 'POST',
  path: '/v1/tasks',
  summary: 'Queue a task',
  description: 'Answers as soon as the task is kept; follow it at `events_url`.',
  project: 'body.project_id',
  body: createTaskSchema,
  audit: 'task.create',
})

export const createTasks = defineOperation({
  id: 'createTasks',
  method: 'POST',
  path: '/v1/tasks/batch',
  summary: 'Queue many tasks',
  description:
    `1 to ${maxBatchTasks} tasks, in a body of at most ${maxBatchBytes / 1024 / 1024} MiB. Each is accepted or refused by itself, as POST /v1/tasks ` +
    'would, and answered in its place: one that is wrong does not hurt the others. Those that are accepted are queued in their order.',
  tag: 'tasks',
  scope: 'tasks:write',
  project: 'body.tasks',
  body: createTasksSchema,
  maxBodyBytes: maxBatchBytes,
  eachOnItsOwn: true,
  idempotent: true,
  answers: { 200: json('What became of each.', taskBatchSchema) },
  audit: 'task.create',
})

export const retryTask = defineOperation({
  ...queuesTask,
  id: 'retryTask',
  method: 'POST',
  path: '/v1/tasks/:id/retry',
  summary: 'Do an ended task again',
  description:
    'A new task that asks for the same, at once: same session, workspace, labels and metadata; its `retry_of` names this one, which ' +
    'stays as it ended. Only of a task that has ended. Each call queues another one: send an `Idempotency-Key`.',
  project: 'task',
  params: taskParams,
  audit: 'task.retry',
})

export const listTasks = defineOperation({
  id: 'listTasks',
  method: 'GET',
  path: '/v1/tasks',
  summary: 'List tasks',
  description: 'Newest first.',
  tag: 'tasks',
  scope: 'tasks:read',
  project: 'caller',
  query: listTasksQuery,
  answers: { 200: json('A page of tasks.', taskPageSchema) },
  audit: null,
})

export const getTask = defineOperation({
  id: 'getTask',
  method: 'GET',
  path: '/v1/tasks/:id',
  summary: 'Read a task',
  tag: 'tasks',
  scope: 'tasks:read',
  project: 'task',
  params: taskParams,
  query: getTaskQuery,
  answers: { 200: json('The task as it is now.', taskSchema) },
  audit: null,
})

export const cancelTask = defineOperation({
  id: 'cancelTask',
  method: 'POST',
  path: '/v1/tasks/:id/cancel',
  summary: 'Cancel a task',
  description:
    'A queued task ends at once. A running one is asked to stop and ends `cancelled` when none of its processes is left. ' +
    'A task that has ended is answered unchanged. Safe to repeat.',
  tag: 'tasks',
  scope: 'tasks:write',
  project: 'task',
  params: taskParams,
  answers: { 200: json('The task; `cancel_requested_at` tells that the cancel request is recorded.', taskSchema) },
  audit: 'task.cancel',
})

export const createStreamTicket = defineOperation({
  id: 'createStreamTicket',
  method: 'POST',
  path: '/v1/tasks/:id/tickets',
  summary: 'Make a stream ticket',
  description: `For EventSource in browsers, which cannot set headers. It opens the events of this task only, within 60 s, from a page of any origin.
A stream that was opened in time goes on for as long as its key lives: its ids are \`<seq>.<proof>\`, EventSource sends the last one when it
comes back, and the proof makes the ticket good for that. Revoking the key ends it within 60 s.`,
  tag: 'tasks',
  scope: 'tasks:read',
  project: 'task',
  params: taskParams,
  answers: { 201: json('The ticket, and the URL to open with it.', streamTicketSchema) },
  audit: 'stream_ticket.create',
})

const streamText = { schema: { type: 'string' } } as const

export const listTaskEvents = defineOperation({
  id: 'listTaskEvents',
  method: 'GET',
  path: '/v1/tasks/:id/events',
  summary: 'Read or follow a task’s events',
  description: `One log, three ways to read it, with identical events. Chosen by \`Accept\`:

- \`application/json\` (default): a page; go on with \`after\` = \`next_after\`.
- \`text/event-stream\`: live Server-Sent Events. \`event:\` is the type, \`data:\` the event, \`id:\` the seq. A comment line at least every 10 s. With a
  stream ticket \`stream.start\` comes first. \`stream.end\` comes last, with a \`reason\`: \`finished\`; \`rotate\` (each stream ends after 10
  minutes on purpose; EventSource resumes by itself); \`unauthorized\`; \`error\`. Coming back after the end of a finished log answers 204, which stops EventSource.
- \`application/x-ndjson\`: live, one event a line, ends after \`task.finished\`. At least every 10 s a single space keeps the connection alive; it stands
  before the next line's value, where JSON allows it. A stream that ends earlier says so in a last line of type \`stream.end\`, without a seq.

A line has at most 60 KiB. An event with longer data is told in several events of its type, one directly after the other, with \`part\` and
\`parts\` in their data: append the texts that stand at the same path. \`task.finished\` has no parts: a \`result\` or \`error\` that is too long for
a line is cut, and \`truncated\` is set; the task itself has all of it. What an attempt says when its log holds 1 GiB is left out, told by one
\`error\` with the code \`LOG_FULL\`.

Resume with \`after\` or \`Last-Event-ID\`: what follows that seq comes, without gap or repeat.`,
  tag: 'tasks',
  scope: 'tasks:read',
  ticket: true,
  project: 'task',
  params: taskParams,
  query: eventsQuery,
  headers: { 'Last-Event-ID': z.string().optional().meta({ description: 'A seq, or an id as a stream told it; wins over `after`.' }) },
  answers: {
    200: {
      description: 'The events.',
      content: { 'application/json': eventPageSchema, 'text/event-stream': streamText, 'application/x-ndjson': streamText },
    },
    204: { description: 'Server-Sent Events only: the log is finished and nothing follows `after`.' },
  },
  problems: ['BAD_REQUEST', 'NOT_ACCEPTABLE'],
  audit: null,
})
