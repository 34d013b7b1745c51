// The OpenAPI 3.1 document, made of the operations: what is not in it cannot be called.

import { tags } from '@rdev/shared/api/operation'
import type { Operation } from '@rdev/shared/api/operation'
import { problemSchema } from '@rdev/shared/api/problem'
import { errorCodes } from '@rdev/shared/domain/errors'
import type { ErrorCode } from '@rdev/shared/domain/errors'
import { z } from 'zod'
import { createDocument } from 'zod-openapi'
import type { ZodOpenApiObject, ZodOpenApiOperationObject, ZodOpenApiPathsObject, ZodOpenApiResponsesObject } from 'zod-openapi'

export type OpenApiDocument = ReturnType<typeof createDocument>

export function openApiDocument(operations: readonly Operation[]): OpenApiDocument {
  const paths: ZodOpenApiPathsObject = {}
  for (const operation of operations) {
    const item = (paths[operation.path.replaceAll(/:(\w+)/g, '{$1}')] ??= {})
    Object.assign(item, { [operation.method.toLowerCase()]: operationObject(operation) })
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
    tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
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

function operationObject(operation: Operation): ZodOpenApiOperationObject {
  const path = operation.params && z.object(operation.params)
  const query = operation.query instanceof z.ZodObject ? operation.query : undefined
  const header =
    (operation.headers ?? operation.idempotent) && z.object({ ...operation.headers, ...(operation.idempotent && idempotencyHeader) })
  return {
    operationId: operation.id,
    summary: operation.summary,
    ...(descriptionOf(operation) && { description: descriptionOf(operation) }),
    tags: [operation.tag],
    security: security(operation),
    ...((path ?? query ?? header) && { requestParams: { ...(path && { path }), ...(query && { query }), ...(header && { header }) } }),
    ...(operation.body && { requestBody: { required: true, content: { 'application/json': { schema: operation.body } } } }),
    responses: responses(operation),
  }
}

/** The scope of the API key that an operation takes; undefined for one that takes none. */
const keyScope = ({ scope }: Operation) => (scope === 'public' || scope === 'attempt' ? undefined : scope)

function descriptionOf(operation: Operation): string | undefined {
  const scope = keyScope(operation)
  return scope ? [operation.description, `Scope: \`${scope}\`.`].filter(Boolean).join('\n\n') : operation.description
}

function security({ scope, ticket }: Operation): Record<string, string[]>[] {
  if (scope === 'public') return []
  if (scope === 'attempt') return [{ attempt: [] }]
  return [{ bearer: [] }, { apiKey: [] }, ...(ticket ? [{ ticket: [] }] : [])]
}

function responses(operation: Operation): ZodOpenApiResponsesObject {
  const all: ZodOpenApiResponsesObject = {}
  for (const [status, { description, content, headers: own }] of Object.entries(operation.answers)) {
    const headers = operation.idempotent ? { ...own, 'Idempotency-Replayed': '`true` when it is the answer of an earlier request.' } : own
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
  for (const [status, codes] of problemsOf(operation)) {
    all[status as '400'] = {
      description: codes.map((code) => `\`${code}\`: ${errorCodes[code].title}.`).join(' '),
      content: { 'application/problem+json': { schema: problemSchema } },
    }
  }
  return all
}

/** What every operation of its kind can answer, by status. */
function problemsOf(operation: Operation): ReadonlyMap<string, readonly ErrorCode[]> {
  const codes = new Set<ErrorCode>(operation.problems)
  if (operation.scope !== 'public') for (const code of ['UNAUTHORIZED', 'FORBIDDEN', 'SERVICE_UNAVAILABLE'] as const) codes.add(code)
  if (keyScope(operation)) for (const code of ['KEY_REVOKED', 'KEY_EXPIRED'] as const) codes.add(code)
  if (operation.params) codes.add('NOT_FOUND')
  if (operation.query) codes.add('BAD_REQUEST')
  if (operation.body) for (const code of ['BAD_REQUEST', 'PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE'] as const) codes.add(code)
  if (operation.idempotent) for (const code of idempotencyProblems) codes.add(code)
  codes.add('INTERNAL_ERROR')
  const byStatus = new Map<string, ErrorCode[]>()
  for (const code of codes) {
    const status = String(errorCodes[code].status)
    byStatus.set(status, [...(byStatus.get(status) ?? []), code])
  }
  return byStatus
}
