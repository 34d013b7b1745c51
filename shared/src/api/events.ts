import { z } from 'zod'
import { storedEventTypes } from '../domain/event.ts'
import { inQuery, instantSchema } from './pages.ts'

export const taskEventSchema = z
  .object({
    seq: z.int().min(1),
    type: z.enum(storedEventTypes),
    time: instantSchema,
    task_id: z.string(),
    attempt: z.int().min(0),
    data: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'TaskEvent', description: 'One numbered entry of a task’s log.' })

export const eventPageSchema = z
  .object({
    data: z.array(taskEventSchema),
    next_after: z.int().meta({ description: 'Give it as `after` for what follows.' }),
    finished: z.boolean().meta({ description: 'True when the last entry of `data` is the last of the log.' }),
  })
  .meta({ id: 'TaskEventPage' })

const flag = z.enum(['true', 'false', '1', '0']).transform((value) => value === 'true' || value === '1')

export const eventsQuery = z.strictObject({
  after: inQuery(z.int().min(0).max(Number.MAX_SAFE_INTEGER))
    .optional()
    .meta({ description: 'Only events with a higher seq. The header Last-Event-ID wins over it.' }),
  limit: inQuery(z.int().min(1).max(1000))
    .default(200)
    .meta({ description: 'JSON pages only', override: { default: 200 } }),
  deltas: flag.optional().meta({ description: 'Streams only: also unstored `message.delta` events.' }),
  ticket: z.string().max(1000).optional().meta({ description: 'A stream ticket, for EventSource, which cannot set headers.' }),
})

export const streamTicketSchema = z.object({ ticket: z.string(), url: z.string(), expires_at: instantSchema }).meta({ id: 'StreamTicket' })
