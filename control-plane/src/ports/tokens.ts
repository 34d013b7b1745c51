/** Signed, short-lived tokens that need no table: for attempts' lines and stream tickets. */
export interface Tokens {
  sign(claims: TokenClaims): Promise<string>
  /** The claims; undefined if the token is forged, expired or of another kind. Never throws. */
  verify<Kind extends TokenClaims['kind']>(
    kind: Kind,
    token: string,
    options?: { readonly expired?: 'refused' | 'accepted' },
  ): Promise<Extract<TokenClaims, { kind: Kind }> | undefined>
  /** A word of 22 characters that only this program can make from that token. It proves that its bearer was told it, not that the token is valid. */
  proof(token: string): Promise<string>
}

export type TokenClaims =
  | {
      readonly kind: 'attempt'
      readonly task_id: string
      readonly attempt: number
      readonly cluster_id: string
      readonly epoch: number
      /** The key of the connection on which it was given: it opens nothing any more when that is revoked or ends. */
      readonly key_id: string
      readonly expires_at: number
    }
  | { readonly kind: 'stream'; readonly task_id: string; readonly key_id: string; readonly expires_at: number }
