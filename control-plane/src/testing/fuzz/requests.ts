// Requests as plain data, drawn from the operations and their document: valid ones, mutated ones and hostile ones, by every kind of caller.

import type { Operation } from '@rdev/shared/api/operation'
import { operations } from '@rdev/shared/api/operations/operations'
import { openApiDocument } from '../../openapi.ts'
import * as fc from 'fast-check'
import { mutated, mutations, rawBodies, toBody } from './mutations.ts'
import { SchemaValues } from './schema-values.ts'
import type { JsonSchema } from './schema-values.ts'
import { callerNames } from './world.ts'

export interface FuzzRequest {
  readonly id: string
  readonly method: string
  /** `@task` and the like stand for ids of the world. */
  readonly path: string
  readonly query: string
  readonly caller: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array | null
  /** It is sent again: what is repeated is answered by the same rules. */
  readonly twice: boolean
  /** How the body was made. */
  readonly made: 'none' | 'valid' | 'mutated' | 'raw'
}

interface DocumentOperation {
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: JsonSchema }[]
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: JsonSchema }>> }
  readonly responses: Readonly<Record<string, { readonly description: string }>>
}
export const all: readonly Operation[] = operations
const document = openApiDocument(all) as unknown as {
  readonly paths: Readonly<Record<string, Readonly<Record<string, DocumentOperation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, JsonSchema>> }
}
export const documentOf = ({ path, method }: Operation): DocumentOperation =>
  document.paths[path.replaceAll(/:(\w+)/g, '{$1}')]![method.toLowerCase()]!
const values = new SchemaValues(document.components.schemas)

const oddTexts = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    '%00',
    '%ff',
    '%',
    '..',
    '%2e%2e',
    'a%2fb',
    '__proto__',
    'constructor',
    "'; select 1",
    '%0d%0a',
    '%F0%9F%99%82',
    'x'.repeat(3_000),
  ),
  fc.string({ maxLength: 20 }).map(encodeURIComponentSafely),
)
function encodeURIComponentSafely(text: string): string {
  return encodeURIComponent(text.toWellFormed())
}

/** Objects of the right kind mostly; sometimes of another, or nothing that could be an id. */
const idsFor = (path: string): readonly string[] => {
  if (path.startsWith('/v1/tasks/:id')) return ['@queued', '@running', '@ended', '@theirs', 'task_01kamyp4e0c9q2t5w8z1x4v7r3']
  if (path.startsWith('/v1/projects/:id')) return ['demo', 'other', 'nowhere']
  if (path.startsWith('/v1/sessions/:id')) return ['@session', 'ses_01kamyp4e0c9q2t5w8z1x4v7r3']
  if (path.startsWith('/v1/keys/:id')) return ['@key', 'key_01kamyp4e0c9q2t5w8z1x4v7r3']
  return ['home', 'away']
}

const often = <T>(usual: fc.Arbitrary<T>, odd: fc.Arbitrary<T>) => fc.oneof({ arbitrary: usual, weight: 9 }, { arbitrary: odd, weight: 1 })

function pathOf({ path }: Operation): fc.Arbitrary<string> {
  const names = [...path.matchAll(/:(\w+)/g)].map((match) => match[1]!)
  const each = names.map((name) => often(fc.constantFrom(...(name === 'n' ? ['1', '2'] : idsFor(path))), oddTexts))
  return fc.tuple(...each).map((found) => found.reduce((text, value, i) => text.replace(`:${names[i]}`, () => value), path as string))
}

function queryOf(operation: Operation): fc.Arbitrary<string> {
  const known = (documentOf(operation).parameters ?? []).filter((parameter) => parameter.in === 'query')
  const own = known.map(({ name, schema }) =>
    often(
      values.of(schema, name).map((value) => `${name}=${encodeURIComponentSafely(String(value))}`),
      oddTexts.map((text) => `${name}=${text}`),
    ),
  )
  const odd = fc
    .tuple(fc.oneof(fc.constantFrom('cursor', 'limit', 'ticket', '__proto__', 'wait_s', ''), oddTexts), oddTexts)
    .map(([name, text]) => `${name}=${text}`)
  const parts = own.length === 0 ? fc.array(odd, { maxLength: 1 }) : fc.array(often(fc.oneof(...own), odd), { maxLength: 3 })
  return parts.map((all) => all.join('&'))
}

type Body = Pick<FuzzRequest, 'body' | 'made'>

function bodyOf(operation: Operation): fc.Arbitrary<Body> {
  const schema = documentOf(operation).requestBody?.content['application/json']?.schema
  const raw = rawBodies.map((body): Body => ({ body, made: 'raw' }))
  if (schema === undefined) return often(fc.constant<Body>({ body: null, made: 'none' }), raw)
  const valid = values.of(schema)
  return fc.oneof(
    { arbitrary: valid.map((value) => ({ body: toBody(value), made: 'valid' as const })), weight: 3 },
    {
      arbitrary: fc.tuple(valid, mutations).map(([value, list]) => ({ body: toBody(mutated(value, list)), made: 'mutated' as const })),
      weight: 6,
    },
    { arbitrary: raw, weight: 1 },
  )
}

const headers = fc.record(
  {
    'content-type': often(
      fc.constant('application/json'),
      fc.constantFrom('application/json; charset=utf-8', 'text/plain', '', 'APPLICATION/JSON', 'multipart/form-data'),
    ),
    accept: fc.constantFrom(
      'application/json',
      'text/event-stream',
      'application/x-ndjson',
      '*/*',
      'text/html',
      'text/event-stream;q=0.1, */*;q=0',
      ';;,',
    ),
    'idempotency-key': fc.constantFrom('one', 'two', 'x'.repeat(255), 'x'.repeat(256), 'caf\u00e9', ' '),
    'last-event-id': fc.constantFrom('0', '1', '2', '999', '-1', '1e3', 'x', ' 1'),
    'content-length': fc.constantFrom('0', '99999999999', 'x'),
    upgrade: fc.constantFrom('websocket', 'h2c'),
    'x-request-id': fc.constant('mine'),
  },
  { requiredKeys: [] },
)

function requestOf(operation: Operation): fc.Arbitrary<FuzzRequest> {
  const method = often(fc.constant<string>(operation.method), fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'))
  return fc
    .tuple(
      method,
      pathOf(operation),
      queryOf(operation),
      often(fc.constantFrom('admin', 'everything', 'of demo'), fc.constantFrom(...callerNames)),
      fc.oneof(
        { arbitrary: fc.constant({}), weight: 8 },
        { arbitrary: fc.constant({ 'idempotency-key': 'once' }), weight: 2 },
        { arbitrary: headers, weight: 1 },
      ),
      bodyOf(operation),
      fc.nat(5).map((n) => n === 0),
    )
    .map(([method, path, query, caller, more, body, twice]) => ({
      id: operation.id,
      method,
      path,
      query,
      caller,
      headers: { ...(body.made === 'none' ? {} : { 'content-type': 'application/json' }), ...more },
      ...body,
      twice,
    }))
}

/** What takes a body is drawn more often. */
export const requests: fc.Arbitrary<FuzzRequest> = fc.oneof(
  ...all.map((operation) => ({ arbitrary: requestOf(operation), weight: operation.body ? 4 : 1 })),
)
