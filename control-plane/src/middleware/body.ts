// Reading a JSON body: bounded, UTF-8, and without what no column can hold.

import { DomainError } from '@rdev/shared/domain/errors'
import { pointer } from './validation.ts'

/** The largest thing anybody sends is a prompt; past this a request only costs memory. */
export const maxBodyBytes = 2 * 1024 * 1024

export async function readJson(request: Request): Promise<unknown> {
  const mediaType = request.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase()
  if (mediaType !== 'application/json') {
    throw new DomainError('UNSUPPORTED_MEDIA_TYPE', 'send the body as Content-Type: application/json')
  }
  const text = await readText(request)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new DomainError('BAD_REQUEST', text === '' ? 'a JSON body is required' : 'the body is not valid JSON', { cause })
  }
  // Only an escape can bring these in (the decoder refuses them in the clear), so the walk is rare.
  if (/\\u(0000|d[89a-f])/i.test(text)) refuseUnstorable(value, [])
  return value
}

async function readText(request: Request): Promise<string> {
  const tooLarge = () => new DomainError('PAYLOAD_TOO_LARGE', `the body may have at most ${maxBodyBytes} bytes`)
  if (Number(request.headers.get('content-length') ?? 0) > maxBodyBytes) throw tooLarge()
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
      if (bytes > maxBodyBytes) {
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

/** NUL and lone surrogates: legal in JSON, refused by Postgres, files and argv. */
function refuseUnstorable(value: unknown, path: readonly PropertyKey[]): void {
  if (typeof value === 'string') {
    if (!value.includes('\u0000') && value.isWellFormed()) return
    const message = 'must not contain NUL characters or lone surrogates'
    throw new DomainError('BAD_REQUEST', message, { fields: [{ pointer: pointer(path), message }] })
  }
  if (typeof value !== 'object' || value === null) return
  for (const [name, item] of Object.entries(value)) {
    refuseUnstorable(name, path)
    refuseUnstorable(item, [...path, name])
  }
}
