// Turns a provider's error texts into error codes: one table for both providers, also for older versions that have no fields for it.

import type { TaskErrorCode } from '@rdev/shared/domain/errors'

const authWords =
  /invalid (?:x-)?api[- ]key|please run \/login|not logged in|authentication_(?:error|failed)|oauth token (?:has )?(?:expired|been revoked|revoked)|token has expired|credit balance is too low|\bapi key is (?:missing|invalid)|api key not found|could not resolve authentication/i
const missingWords = /no conversation found with session id/i
const limitWords = /usage limit reached|hit your [\w' -]*limit|rate[_ ]limit|too many requests|quota (?:exceeded|reached)/i

export function codeOfStatus(status: number | undefined): TaskErrorCode | undefined {
  if (status === 401 || status === 403) return 'AUTH_FAILED'
  if (status === 429) return 'RATE_LIMITED'
  return undefined
}

export function codeOfWords(words: string): TaskErrorCode | undefined {
  const start = words.slice(0, 4096)
  if (authWords.test(start)) return 'AUTH_FAILED'
  if (limitWords.test(start)) return 'RATE_LIMITED'
  if (missingWords.test(start)) return 'SESSION_MISSING'
  return undefined
}

/** The instant, given in seconds or milliseconds since 1970, as RFC 3339; undefined if the value is neither. */
export function instant(value: number | undefined): string | undefined {
  if (value === undefined || value <= 0) return undefined
  const milliseconds = value < 1e11 ? value * 1000 : value
  return milliseconds < 8.64e15 ? new Date(milliseconds).toISOString() : undefined
}

/** Older versions write `usage limit reached|1712345678`. */
export const resetInWords = (words: string): string | undefined => {
  const found = /limit reached\|(\d{9,13})/.exec(words)
  return found ? instant(Number(found[1])) : undefined
}

/** When a refused request may be tried again, by its headers. Header names in lower case. */
export function resetInHeaders(headers: Readonly<Record<string, unknown>>, now: number): string | undefined {
  const unified = Number(headers['anthropic-ratelimit-unified-reset'])
  if (Number.isFinite(unified) && unified > 0) return instant(unified)
  const after = headers['retry-after']
  if (typeof after === 'string' && after !== '') {
    const seconds = Number(after)
    if (Number.isFinite(seconds)) return instant(now + seconds * 1000)
    const date = Date.parse(after)
    if (Number.isFinite(date)) return instant(date)
  }
  const reset = headers['anthropic-ratelimit-requests-reset']
  const date = typeof reset === 'string' ? Date.parse(reset) : Number.NaN
  return Number.isFinite(date) ? instant(date) : undefined
}
