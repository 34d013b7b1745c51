// Whether an answer is one that the document promises. It knows the operations and nothing of how they are done.

import type { Operation } from '@rdev/shared/api/operation'
import { problemSchema } from '@rdev/shared/api/problem'
import { errorCodes } from '@rdev/shared/domain/errors'
import { maxLineBytes } from '@rdev/shared/domain/limits'
import { utf8Length } from '@rdev/shared/domain/text'
import { expect } from 'vitest'
import { z } from 'zod'
import { all, documentOf } from './requests.ts'
import type { FuzzRequest } from './requests.ts'

/** Codes that any path can answer, whatever is there. */
const everywhere = ['NOT_FOUND', 'METHOD_NOT_ALLOWED']

/** Throws for what the document does not promise. */
export async function judge(request: FuzzRequest, response: Response): Promise<void> {
  const { status, headers } = response
  if (status >= 500 && status !== 503) throw new Error(`answered ${status}: ${await response.text()}`)
  if (!/^req_[0-9a-hjkmnp-tv-z]{26}$/.test(headers.get('x-request-id') ?? '')) throw new Error('no x-request-id')
  if (headers.get('x-content-type-options') !== 'nosniff') throw new Error('no nosniff')
  if (headers.get('cache-control') === null) throw new Error('no cache-control')

  const type = headers.get('content-type')?.split(';')[0] ?? ''
  if (request.method === 'HEAD') return
  if (type === 'application/problem+json') return judgeProblem(request, response)
  const operation = operationOf(request)
  if (operation === undefined) throw new Error(`answered ${status} where nothing is`)
  const answer = operation.answers[status]
  if (answer === undefined) throw new Error(`answered ${status}, which the document does not know`)
  const schema = answer.content?.[type]
  if (answer.content !== undefined && schema === undefined) throw new Error(`answered ${type}, which the document does not know`)
  if (!(schema instanceof z.ZodType)) return judgeText(response)
  matches(schema, await response.json())
}

/** The operation at this method and path: a request may have been drawn from another one. */
function operationOf({ method, path }: FuzzRequest): Operation | undefined {
  const parts = path.split('/')
  return all.find((operation) => {
    const wanted = operation.path.split('/')
    return (
      operation.method === method && wanted.length === parts.length && wanted.every((part, i) => part.startsWith(':') || part === parts[i])
    )
  })
}

async function judgeProblem(request: FuzzRequest, response: Response): Promise<void> {
  const body: unknown = await response.json()
  matches(problemSchema, body)
  const { code, status, request_id } = problemSchema.parse(body)
  if (status !== response.status || errorCodes[code].status !== status) throw new Error(`${code} with status ${response.status}`)
  if (request_id !== response.headers.get('x-request-id')) throw new Error('another request_id than in the header')
  if (everywhere.includes(code)) return
  const operation = operationOf(request)
  const promised = operation && documentOf(operation).responses[status]?.description
  if (!promised?.includes(`\`${code}\``)) throw new Error(`${code} is not promised by ${operation?.id}`)
}

/** The body is of the schema, and has nothing that the schema does not have. */
function matches(schema: z.ZodType, body: unknown): void {
  const parsed = schema.safeParse(body)
  if (!parsed.success) throw new Error(`the answer is not of its schema: ${parsed.error.message}`)
  expect(body, 'the answer has more than its schema').toStrictEqual(parsed.data)
}

/** Takes what is there, and leaves: a stream that waits for more is not waited for. */
async function judgeText(response: Response): Promise<void> {
  const reader = response.body?.getReader()
  if (reader === undefined) return
  const turns = async () => {
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
    return undefined
  }
  const decoder = new TextDecoder()
  let text = ''
  for (let i = 0; i < 5; i++) {
    const read = await Promise.race([reader.read(), turns()])
    if (read === undefined || read.done) break
    text += decoder.decode(read.value, { stream: true })
  }
  await reader.cancel()
  const long = text.split('\n').find((line) => utf8Length(line) > maxLineBytes)
  if (long !== undefined && !text.startsWith('<!doctype')) throw new Error(`a line of ${long.length} characters`)
}
