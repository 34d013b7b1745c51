// Tokens that need no table: `v1.<claims>.<HMAC-SHA256 over "v1.<claims>">`, both parts base64url (RFC 4648, section 5). The version is signed
// too, so a token of a later format cannot pass as this one. The secret can make every token, so it never leaves the Worker.

import { z } from 'zod'
import type { Clock } from './ports/clock.ts'
import type { TokenClaims, Tokens } from './ports/tokens.ts'

const version = 'v1'
/** Longer tokens are refused unread. Ours have about 300 characters. */
const maxTokenChars = 1000
const minSecretChars = 32
/** 132 bits. */
const proofChars = 22

const claimsSchema: z.ZodType<TokenClaims> = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('attempt'),
    task_id: z.string(),
    attempt: z.int(),
    cluster_id: z.string(),
    epoch: z.int(),
    key_id: z.string(),
    expires_at: z.int(),
  }),
  z.object({ kind: z.literal('stream'), task_id: z.string(), key_id: z.string(), expires_at: z.int() }),
])

export function createTokens(secret: string, clock: Clock): Tokens {
  if (secret.length < minSecretChars) throw new RangeError(`the token secret needs at least ${minSecretChars} characters`)

  // Cached only when resolved: requests of a Worker must not share a pending promise.
  let imported: CryptoKey | undefined
  const hmacKey = async () =>
    (imported ??= await crypto.subtle.importKey('raw', encoder.encode(secret), { name: 'HMAC', hash: 'SHA-256' }, false, [
      'sign',
      'verify',
    ]))

  return {
    async sign(claims) {
      const signed = `${version}.${toBase64url(encoder.encode(JSON.stringify(claims)))}`
      const signature = await crypto.subtle.sign('HMAC', await hmacKey(), encoder.encode(signed))
      return `${signed}.${toBase64url(new Uint8Array(signature))}`
    },

    async verify<Kind extends TokenClaims['kind']>(kind: Kind, token: string, { expired = 'refused' } = {}) {
      const match = token.length <= maxTokenChars && /^(v1\.([\w-]+))\.([\w-]{43})$/.exec(token)
      if (!match) return undefined
      const signature = fromBase64url(match[3]!)
      if (!signature || !(await crypto.subtle.verify('HMAC', await hmacKey(), signature, encoder.encode(match[1])))) return undefined
      const payload = fromBase64url(match[2]!)
      const claims = claimsSchema.safeParse(payload && JSON.parse(decoder.decode(payload)))
      if (!claims.success || !isKind(claims.data, kind)) return undefined
      return claims.data.expires_at <= clock.now() && expired === 'refused' ? undefined : claims.data
    },

    async proof(token) {
      // What is signed begins otherwise than a token, so neither can pass as the other.
      const signature = await crypto.subtle.sign('HMAC', await hmacKey(), encoder.encode(`proof.${token}`))
      return toBase64url(new Uint8Array(signature)).slice(0, proofChars)
    },
  }
}

const isKind = <Kind extends TokenClaims['kind']>(claims: TokenClaims, kind: Kind): claims is Extract<TokenClaims, { kind: Kind }> =>
  claims.kind === kind

const encoder = new TextEncoder()
const decoder = new TextDecoder()

function toBase64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '')
}

function fromBase64url(text: string): Uint8Array<ArrayBuffer> | undefined {
  // No base 64 text has this length, and `atob` throws on it.
  if (text.length % 4 === 1) return undefined
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (char) => char.charCodeAt(0))
}
