// What a request brings, from its bytes to checked values: a JSON body, bounded in size and UTF-8 (json-budget.ts bounds what is in it); then
// zod's issues as the fields of a problem: JSON Pointers into a body, names of parameters in a query.

import { DomainError } from '@rdev/shared/domain/errors'
import type { FieldError } from '@rdev/shared/domain/errors'
import type { z } from 'zod'
import { pointer, textOutOfBudget } from './json-budget.ts'
import type { JsonBudget } from './json-budget.ts'

/** The largest thing anybody sends is a prompt; past this a request only costs memory. */
export const maxBodyBytes = 2 * 1024 * 1024

/** Throws DomainError for a body that is too large, has too much in it, or is not JSON. */
export async function readJson(request: Request, maxBytes: number, budget: JsonBudget): Promise<{ text: string; value: unknown }> {
  const mediaType = request.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase()
  if (mediaType !== 'application/json') {
    throw new DomainError('UNSUPPORTED_MEDIA_TYPE', 'send the body as Content-Type: application/json')
  }
  const text = await readText(request, maxBytes)
  const wrong = textOutOfBudget(text, budget)
  if (wrong) throw wrong
  try {
    return { text, value: JSON.parse(text) }
  } catch (cause) {
    throw new DomainError('BAD_REQUEST', text === '' ? 'a JSON body is required' : 'the body is not valid JSON', { cause })
  }
}

async function readText(request: Request, maxBytes: number): Promise<string> {
  const tooLarge = () => new DomainError('PAYLOAD_TOO_LARGE', `the body may have at most ${maxBytes} bytes`)
  if (Number(request.headers.get('content-length') ?? 0) > maxBytes) throw tooLarge()
  if (!request.body) return ''
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false })
  const reader = request.body.getReader()
  let bytes = 0
  let text = ''
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return text + decoder.decode()
      bytes += value.byteLength
      if (bytes > maxBytes) throw tooLarge()
      text += decoder.decode(value, { stream: true })
    }
  } catch (error) {
    if (error instanceof TypeError) throw new DomainError('BAD_REQUEST', 'the body is not UTF-8', { cause: error })
    throw error
  } finally {
    // The rest, if there is one, is drained before the answer leaves.
    reader.releaseLock()
  }
}

/** Throws DomainError BAD_REQUEST. */
export function parseBody<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const parsed = checkBody(schema, value)
  if (parsed instanceof DomainError) throw parsed
  return parsed.data
}

/** Answers DomainError BAD_REQUEST for a wrong value. `at` is the value's path inside a larger body; pointers begin with it. */
export function checkBody<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  at: readonly PropertyKey[] = [],
): { data: z.output<Schema> } | DomainError {
  const parsed = schema.safeParse(value)
  if (parsed.success) return { data: parsed.data }
  return refusal(wrongFields(parsed.error), (path, message) => ({ pointer: pointer([...at, ...path]), message }))
}

/** Throws DomainError BAD_REQUEST, also for a repeated parameter, because it is not clear which value is meant. */
export function parseQuery<Schema extends z.ZodType>(schema: Schema, query: Readonly<Record<string, readonly string[]>>): z.output<Schema> {
  const asParameter = (path: readonly PropertyKey[], message: string): FieldError => ({ parameter: path.map(String).join('.'), message })
  const repeated = Object.keys(query).filter((name) => query[name]!.length > 1)
  if (repeated.length > 0) {
    throw refusal(
      repeated.map((name) => ({ path: [name], message: 'given more than once' })),
      asParameter,
    )
  }
  const parsed = schema.safeParse(Object.fromEntries(Object.entries(query).map(([name, values]) => [name, values[0]])))
  if (parsed.success) return parsed.data
  throw refusal(wrongFields(parsed.error), asParameter)
}

interface Wrong {
  readonly path: readonly PropertyKey[]
  readonly message: string
}

function refusal(wrong: readonly Wrong[], toField: (path: readonly PropertyKey[], message: string) => FieldError): DomainError {
  const first = wrong[0]!
  const name = first.path.map(String).join('.')
  const detail = (name === '' ? first.message : `${name}: ${first.message}`) + (wrong.length > 1 ? `, and ${wrong.length - 1} more` : '')
  return new DomainError('BAD_REQUEST', detail, { fields: wrong.map(({ path, message }) => toField(path, message)) })
}

/** Limits the answer: a body can have any number of faults, and the first ones are enough for its sender. */
const maxFields = 50

/** Lists each field once, with its first fault: schema and domain rules can find the same one. */
function wrongFields(error: z.ZodError): readonly Wrong[] {
  const byPlace = new Map<string, Wrong>()
  for (const wrong of error.issues.flatMap(wrongField)) {
    const place = pointer(wrong.path)
    if (!byPlace.has(place) && byPlace.size < maxFields) byPlace.set(place, wrong)
  }
  return [...byPlace.values()]
}

function wrongField(issue: z.core.$ZodIssue): readonly Wrong[] {
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({ path: [...issue.path, key], message: 'unknown field' }))
    case 'invalid_key':
      return [{ path: issue.path, message: issue.issues[0]?.message ?? issue.message }]
    case 'invalid_type':
      return [{ path: issue.path, message: issue.message.endsWith('received undefined') ? 'is required' : issue.message }]
    default:
      return [{ path: issue.path, message: issue.message }]
  }
}
