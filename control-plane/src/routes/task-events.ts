import { listTaskEvents } from '@rdev/shared/api/operations/tasks'
import type { Caller } from '@rdev/shared/domain/api-key'
import { DomainError, errorCodes } from '@rdev/shared/domain/errors'
import { isTerminal } from '@rdev/shared/domain/task'
import { Hono } from 'hono'
import type { Context } from 'hono'
import { accepts } from 'hono/accepts'
import { sameText } from '../middleware/auth.ts'
import { handle } from '../middleware/endpoint.ts'
import type { AppEnv } from '../middleware/env.ts'
import type { Deps } from '../ports/deps.ts'
import { followLog, readLog } from '../usecases/read-log.ts'
import { getTask } from '../usecases/wait-for-task.ts'
import { eventStream, ndjson, provenServerSentEvents, serverSentEvents } from './event-stream.ts'
import type { StreamLimits } from './event-stream.ts'

export function taskEvents(deps: Deps, limits: StreamLimits): Hono<AppEnv> {
  const app = new Hono<AppEnv>()

  handle(app, listTaskEvents, async (c) => {
    const id = c.req.param('id')
    const query = c.req.valid('query')
    const last = lastEventId(c.req.header('last-event-id'))
    const after = last?.seq ?? query.after ?? 0
    // A request without a caller has no key, so it needs a ticket.
    const ticket = c.var.caller === undefined ? (query.ticket ?? '') : null
    const caller: Caller = ticket === null ? c.var.caller : await callerOfTicket(deps, c, { id, ticket, proof: last?.proof })
    const wanted = negotiate(c)
    const format = wanted === serverSentEvents && ticket !== null ? provenServerSentEvents(after, await deps.tokens.proof(ticket)) : wanted
    const task = await getTask(deps, id, caller.project_ids)
    c.header('vary', 'accept')

    if (!format) {
      const { lines, finished } = await readLog(deps, task, after, query.limit)
      // The stored encodings are used unchanged: the same bytes that streams carry.
      const body = `{"data":[${lines.map(({ json }) => json).join(',')}],"next_after":${lines.at(-1)?.seq ?? after},"finished":${finished}}`
      return c.body(body, 200, { 'content-type': 'application/json' })
    }

    if (wanted === serverSentEvents && isTerminal(task.status)) {
      const { lines, finished } = await readLog(deps, task, after, 1)
      if (finished && lines.length === 0) return c.body(null, 204)
    }
    const headers = { 'content-type': format.mediaType, 'cache-control': 'no-store, no-transform', 'x-accel-buffering': 'no' }
    // Hono answers HEAD by the GET handler and drops the body unread, which would leave a stream open.
    if (c.req.raw.method === 'HEAD') return c.body(null, 200, headers)
    const source = {
      follow: (signal: AbortSignal) => followLog(deps, task, { after, deltas: query.deltas ?? false, signal }),
      allowed: () => stillAllowed(c, caller),
      failed: (error: unknown) =>
        deps.log('error', 'event stream failed', { request_id: c.var.requestId, task_id: id, error: String(error) }),
      gone: c.req.raw.signal,
    }
    return c.body(eventStream(source, format, limits), 200, headers)
  })

  return app
}

interface Presented {
  readonly id: string
  readonly ticket: string
  readonly proof: string | undefined
}

/** A ticket opens a stream for a minute. Who has read from that stream may come back with it for as long as its key is valid. */
async function callerOfTicket({ tokens }: Pick<Deps, 'tokens'>, c: Context<AppEnv>, { id, ticket, proof }: Presented): Promise<Caller> {
  const expired = proof !== undefined && sameText(proof, await tokens.proof(ticket)) ? 'accepted' : 'refused'
  const claims = await tokens.verify('stream', ticket, { expired })
  if (claims?.task_id !== id) throw new DomainError('UNAUTHORIZED', 'this stream ticket is not valid, or not any more')
  return c.var.auth.callerOf(claims.key_id)
}

async function stillAllowed(c: Context<AppEnv>, caller: Caller): Promise<boolean> {
  try {
    await c.var.auth.callerOf(caller.key_id)
    return true
  } catch (error) {
    if (error instanceof DomainError && errorCodes[error.code].status === 401) return false
    throw error
  }
}

/** `<seq>`, or `<seq>.<proof>` as streams of a ticket tell it. Throws DomainError BAD_REQUEST. */
function lastEventId(value: string | undefined): { seq: number; proof: string | undefined } | undefined {
  if (value === undefined || value === '') return undefined
  const match = /^(\d{1,15})(?:\.([\w-]{22}))?$/.exec(value)
  if (match) return { seq: Number(match[1]), proof: match[2] }
  const message = 'must be the seq of an event'
  throw new DomainError('BAD_REQUEST', `Last-Event-ID ${message}`, { fields: [{ parameter: 'Last-Event-ID', message }] })
}

/** The stream format that `Accept` asks for; undefined: a JSON page. Throws DomainError NOT_ACCEPTABLE. */
function negotiate(c: Context<AppEnv>) {
  const formats = [serverSentEvents, ndjson]
  const supports = ['application/json', ...formats.map(({ mediaType }) => mediaType)]
  const best = accepts(c, { header: 'Accept', supports, default: '' })
  const header = c.req.header('accept')
  if (best === '' && header && !header.includes('*/*')) {
    throw new DomainError('NOT_ACCEPTABLE', `accept one of ${supports.join(', ')}`)
  }
  return formats.find(({ mediaType }) => mediaType === best)
}
