// Reads a JSON body: UTF-8, limited in size and depth, and without text that no column can hold.

import { DomainError } from '@rdev/shared/domain/errors'
import { pointer } from './validation.ts'

/** Bytes. The largest legitimate content is a prompt; a larger body would only cost memory. */
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
        // Not awaited: a sender that goes on sending must not delay the answer.
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

/** Schemas, the database and clients walk a value recursively; a deeper one could exhaust their stack. */
const maxDepth = 64

/** Why a value cannot be stored: NUL and lone surrogates are legal in JSON, but not in Postgres, files and argv; or it is nested too deep. */
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
