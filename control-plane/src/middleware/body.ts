// Reading a JSON body: bounded in size and depth, UTF-8, and without what no column can hold.

import { DomainError } from '@rdev/shared/domain/errors'
import { pointer } from './validation.ts'

/** The largest thing anybody sends is a prompt; past this a request only costs memory. */
export const maxBodyBytes = 2 * 1024 * 1024

export async function readJson(request: Request, maxBytes: number): Promise<{ text: string; value: unknown }> {
  const mediaType = request.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase()
  if (mediaType !== 'application/json') {
    throw new DomainError('UNSUPPORTED_MEDIA_TYPE', 'send the body as Content-Type: application/json')
  }
  const text = await readText(request, maxBytes)
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
      if (bytes > maxBytes) {
        // Not waited for: a sender that goes on must not hold the answer back.
        void reader.cancel().catch(() => undefined)
        throw tooLarge()
      }
      text += decoder.decode(value, { stream: true })
    }
  } catch (error) {
    if (error instanceof TypeError) throw new DomainError('BAD_REQUEST', 'the body is not UTF-8', { cause: error })
    throw error
  }
}

export function refuseUnstorable(value: unknown): void {
  const wrong = unstorable(value)
  if (wrong) throw wrong
}

/** Schemas, the database and clients walk a value by recursion; a deeper one could exhaust their stack. */
const maxDepth = 64

/** NUL and lone surrogates: legal in JSON, refused by Postgres, files and argv. And what is nested deeper than anybody could walk. */
export function unstorable(value: unknown, path: readonly PropertyKey[] = []): DomainError | undefined {
  if (typeof value === 'string') {
    return value.includes('\u0000') || !value.isWellFormed()
      ? refusal('must not contain NUL characters or lone surrogates', path)
      : undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  if (path.length >= maxDepth) return refusal(`must not be nested more than ${maxDepth} deep`, path)
  for (const [name, item] of Object.entries(value)) {
    const wrong = unstorable(name, path) ?? unstorable(item, [...path, name])
    if (wrong) return wrong
  }
  return undefined
}

const refusal = (message: string, path: readonly PropertyKey[]) =>
  new DomainError('BAD_REQUEST', message, { fields: [{ pointer: pointer(path), message }] })
