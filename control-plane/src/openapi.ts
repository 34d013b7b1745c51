// The OpenAPI 3.1 document, read off the routes that are registered: what is not in it cannot be called.

import { problemSchema } from '@rdev/shared/api/problem'
import { errorCodes } from '@rdev/shared/domain/errors'
import type { ErrorCode } from '@rdev/shared/domain/errors'
import { z } from 'zod'
import { createDocument } from 'zod-openapi'
import type { ZodOpenApiObject, ZodOpenApiOperationObject, ZodOpenApiPathsObject, ZodOpenApiResponsesObject } from 'zod-openapi'
import { docOf, tags } from './middleware/endpoint.ts'
import type { EndpointDoc } from './middleware/endpoint.ts'

export type OpenApiDocument = ReturnType<typeof createDocument>

interface RegisteredRoute {
  readonly method: string
  readonly path: string
  readonly handler: object
}

const tagTexts: Readonly<Record<(typeof tags)[number], string>> = {
  tasks: 'Queue work, follow it, stop it.',
  projects: 'Codebases and their pods.',
  sessions: 'Conversations that several tasks continue.',
  fleet: 'What tasks run in, and by which agents.',
  keys: 'API keys.',
  service: 'This service itself. No key needed.',
  connections: 'Where clusters dial in, by WebSocket. Of no use to other clients.',
}

export function openApiDocument(routes: readonly RegisteredRoute[]): OpenApiDocument {
  const paths: ZodOpenApiPathsObject = {}
  for (const { method, path, handler } of routes) {
    const doc = docOf(handler)
    if (!doc) continue
    const item = (paths[path.replaceAll(/:(\w+)/g, '{$1}')] ??= {})
    Object.assign(item, { [method.toLowerCase()]: operation(doc, operationId(method, path)) })
  }
  const document: ZodOpenApiObject = {
    openapi: '3.1.0',
    info: {
      title: 'rdev',
      version: '1',
      description:
        'Runs coding agents in isolated pods. Send `Authorization: Bearer <key>` or `X-API-Key: <key>`. ' +
        'Errors are RFC 9457 problem documents with a stable `code`; instants are RFC 3339 in UTC with milliseconds.',
    },
    servers: [{ url: '/' }],
    tags: tags.map((name) => ({ name, description: tagTexts[name] })),
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'An API key.' },
        apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'The same API key.' },
        ticket: { type: 'apiKey', in: 'query', name: 'ticket', description: 'A stream ticket, good for 60 s and one task.' },
        attempt: { type: 'http', scheme: 'bearer', description: 'The token of an attempt, from its assignment.' },
      },
    },
  }
  return createDocument(document)
}

const idempotencyHeader = {
  'Idempotency-Key': z
    .string()
    .min(1)
    .max(255)
    .optional()
    .meta({
      description:
        'Makes the request safe to repeat: for 24 h the same key of the same caller with the same path and body, byte for byte, is answered ' +
        'what the first was answered, with `Idempotency-Replayed: true`, and creates nothing. Another path or body: 422. While the first is ' +
        'being answered, and for up to 15 s where nobody knows how it ended: 409. A request that was refused frees its key.',
      example: 'c0ffee-42',
    }),
}
const idempotencyProblems = ['BAD_REQUEST', 'IDEMPOTENCY_IN_FLIGHT', 'IDEMPOTENCY_MISMATCH'] as const

/** `POST /v1/tasks/:id/cancel` → `post_tasks_id_cancel`. */
const operationId = (method: string, path: string): string =>
  [method.toLowerCase(), ...path.split('/').map((part) => part.replaceAll(/\W/g, '_').replace(/^_/, ''))]
    .filter((part) => part !== '' && part !== 'v1')
    .join('_')

function operation(doc: EndpointDoc, operationId: string): ZodOpenApiOperationObject {
  const path = doc.params && z.object(doc.params)
  const query = doc.query instanceof z.ZodObject ? doc.query : undefined
  const header = (doc.headers ?? doc.idempotent) && z.object({ ...doc.headers, ...(doc.idempotent && idempotencyHeader) })
  return {
    operationId,
    summary: doc.summary,
    ...(description(doc) && { description: description(doc) }),
    tags: [doc.tag],
    security: security(doc),
    ...((path ?? query ?? header) && { requestParams: { ...(path && { path }), ...(query && { query }), ...(header && { header }) } }),
    ...(doc.body && { requestBody: { required: true, content: { 'application/json': { schema: doc.body } } } }),
    responses: responses(doc),
  }
}

const description = ({ description, access }: EndpointDoc): string | undefined =>
  typeof access === 'object' ? [description, `Scope: \`${access.scope}\`.`].filter(Boolean).join('\n\n') : description

function security({ access }: EndpointDoc): Record<string, string[]>[] {
  if (access === 'public') return []
  if (access === 'attempt') return [{ attempt: [] }]
  return [{ bearer: [] }, { apiKey: [] }, ...(access.orTicket ? [{ ticket: [] }] : [])]
}

function responses(doc: EndpointDoc): ZodOpenApiResponsesObject {
  const all: ZodOpenApiResponsesObject = {}
  for (const [status, { description, content, headers: own }] of Object.entries(doc.answers)) {
    const headers = doc.idempotent ? { ...own, 'Idempotency-Replayed': '`true` when it is the answer of an earlier request.' } : own
    all[status as '200'] = {
      description,
      ...(content && {
        content: Object.fromEntries(
          Object.entries(content).map(([type, schema]) => [type, schema instanceof z.ZodType ? { schema } : schema]),
        ),
      }),
      ...(headers && {
        headers: Object.fromEntries(
          Object.entries(headers).map(([name, description]) => [name, { description, schema: { type: 'string' as const } }]),
        ),
      }),
    }
  }
  for (const [status, codes] of problemsOf(doc)) {
    all[status as '400'] = {
      description: codes.map((code) => `\`${code}\`: ${errorCodes[code].title}.`).join(' '),
      content: { 'application/problem+json': { schema: problemSchema } },
    }
  }
  return all
}

/** What every route of its kind can answer, by status. */
function problemsOf(doc: EndpointDoc): ReadonlyMap<string, readonly ErrorCode[]> {
  const codes = new Set<ErrorCode>(doc.problems)
  if (doc.access !== 'public') for (const code of ['UNAUTHORIZED', 'FORBIDDEN', 'SERVICE_UNAVAILABLE'] as const) codes.add(code)
  if (typeof doc.access === 'object') for (const code of ['KEY_REVOKED', 'KEY_EXPIRED'] as const) codes.add(code)
  if (doc.params) codes.add('NOT_FOUND')
  if (doc.query) codes.add('BAD_REQUEST')
  if (doc.body) for (const code of ['BAD_REQUEST', 'PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE'] as const) codes.add(code)
  if (doc.idempotent) for (const code of idempotencyProblems) codes.add(code)
  codes.add('INTERNAL_ERROR')
  const byStatus = new Map<string, ErrorCode[]>()
  for (const code of codes) {
    const status = String(errorCodes[code].status)
    byStatus.set(status, [...(byStatus.get(status) ?? []), code])
  }
  return byStatus
}
