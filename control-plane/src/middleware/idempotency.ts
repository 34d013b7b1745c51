// `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header) of requests that create something: a repeated request gets the answer of the
// first and creates nothing more. Two rules make this safe through a crash at any point. First, the seed and the instant that ids are made
// from are stored before anything is created; a repeated request makes the same ids, and inserting is safe to repeat with the same ids.
// Second, a request with an unknown end is never dropped: it stays in flight until another request takes it over.

import { DomainError } from '@rdev/shared/domain/errors'
import type { Context, Next } from 'hono'
import { routePath } from 'hono/route'
import type { Deps } from '../ports/deps.ts'
import { sha256Hex } from './auth.ts'
import type { AppEnv } from './env.ts'

/** The clock and the random bytes that ids are made from. */
export type Making = Pick<Deps, 'clock' | 'random'>

export interface Idempotency {
  /**
   * Answers by `next`, or with the stored answer. `text` is the body. Throws DomainError IDEMPOTENCY_IN_FLIGHT, IDEMPOTENCY_MISMATCH or
   * BAD_REQUEST (a malformed key).
   */
  readonly once: (c: Context<AppEnv>, text: string, next: Next) => Promise<Response | undefined>
}

export const keepMs = 24 * 60 * 60_000
/** After this time a repeated request takes over. It creates nothing twice: too early costs double work, too late makes the client wait. */
export const takeOverMs = 15_000
/**
 * A refused request frees its key only within this time. Together with a statement's deadline (8 s) that ends before `takeOverMs`: later,
 * another request may have taken over and created something under the key.
 */
const freeMs = 5_000

const seedBytes = 32
/** Random bytes per request: more than the ids of the largest batch need. */
const chanceBytes = 16 * 1024

export function createIdempotency({
  idempotency,
  clock,
  random,
  log,
}: Pick<Deps, 'idempotency' | 'clock' | 'random' | 'log'>): Idempotency {
  return {
    async once(c, text, next) {
      const key = c.req.header('idempotency-key')
      if (key === undefined) {
        c.set('making', { clock, random })
        return void (await next())
      }
      if (!/^[\x20-\x7e]{1,255}$/.test(key)) throw wrongKey()

      const name = { caller: c.var.caller.key_id, route: `${c.req.method} ${routePath(c, -1)}`, key }
      // The route's pattern has open parameters, so the path must be the same too.
      const body_hash = await sha256Hex(`${c.req.path}\n${text}`)
      const begunAt = clock.now()
      const begun = await idempotency.begin({ ...name, body_hash, seed: random.bytes(seedBytes), takeOverMs, keepMs })
      if (begun.state === 'done') {
        const { status, location, body } = begun.answer
        // Not a new Response: that would lack what every answer has (x-request-id, nosniff, no-store).
        return c.body(body, status as 200, {
          'content-type': 'application/json',
          'idempotency-replayed': 'true',
          ...(location !== null && { location }),
        })
      }
      if (begun.state !== 'mine') throw begun.state === 'busy' ? inFlight() : mismatch()

      c.set('making', { clock: { now: () => begun.at }, random: await randomnessOf(begun.seed) })
      await next()
      const { ok, status, headers } = c.res
      const refused = status >= 400 && status < 500
      if (!ok && (!refused || clock.now() - begunAt > freeMs)) return undefined
      const answer = ok ? { status, location: headers.get('location'), body: await c.res.clone().text() } : null
      try {
        await idempotency.finish(name, answer)
      } catch (error) {
        // The request has succeeded: repeating it makes the same ids, so it finds what was created.
        log('warn', 'idempotent answer was not kept', { request_id: c.var.requestId, error: String(error) })
      }
      return undefined
    },
  }
}

const inFlight = () => new DomainError('IDEMPOTENCY_IN_FLIGHT', undefined, { retryAfterS: 1 })
const mismatch = () => new DomainError('IDEMPOTENCY_MISMATCH', 'this Idempotency-Key was used for a request with another path or body')
function wrongKey(): DomainError {
  const message = 'Idempotency-Key is 1 to 255 printable ASCII characters'
  return new DomainError('BAD_REQUEST', message, { fields: [{ parameter: 'Idempotency-Key', message }] })
}

/** Random bytes derived from the seed: the key stream of AES-CTR. The same seed gives the same bytes. */
async function randomnessOf(seed: Uint8Array): Promise<Deps['random']> {
  const key = await crypto.subtle.importKey('raw', seed.slice(0, seedBytes), 'AES-CTR', false, ['encrypt'])
  const algorithm = { name: 'AES-CTR', counter: new Uint8Array(16), length: 64 }
  const stream = new Uint8Array(await crypto.subtle.encrypt(algorithm, key, new Uint8Array(chanceBytes)))
  let at = 0
  const bytes = (count: number) => {
    if (at + count > stream.length) throw new RangeError('an idempotent request uses more chance than was made for it')
    return stream.slice(at, (at += count))
  }
  return { bytes, chance: () => new DataView(bytes(4).buffer).getUint32(0) / 2 ** 32 }
}
