/** The answer to the first request with that key, kept to be repeated. */
export interface StoredAnswer {
  readonly status: number
  readonly location: string | null
  readonly body: string
}

/**
 * One creating request per caller, route and `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header). `seed` holds random bytes that
 * are stored before anything is created: a request that is done again after a crash makes the same ids from it, so nothing is created twice.
 */
export interface IdempotencyStore {
  /** `mine`: handle the request, then `finish`. `busy`: another request is handling it. `mismatch`: the key was used for another body. */
  begin(request: {
    readonly caller: string
    readonly route: string
    readonly key: string
    readonly body_hash: string
    /** Stored if the request is new. */
    readonly seed: Uint8Array
    /** A request that has not finished after this time has died: the next one with its key handles it, with the same seed and time. */
    readonly takeOverMs: number
    readonly keepMs: number
  }): Promise<
    | { readonly state: 'mine'; readonly seed: Uint8Array; readonly at: number }
    | { readonly state: 'done'; readonly answer: StoredAnswer }
    | { readonly state: 'busy' | 'mismatch' }
  >
  /** Stores the answer. Null: the request was refused and created nothing, so the key is free again. */
  finish(request: { readonly caller: string; readonly route: string; readonly key: string }, answer: StoredAnswer | null): Promise<void>
}
