/** What a request of that key was answered, to be said again. */
export interface StoredAnswer {
  readonly status: number
  readonly location: string | null
  readonly body: string
}

/**
 * One creating request per caller, route and `Idempotency-Key`. `seed` is chance that was kept before anything was created: whoever does
 * the request again after a crash makes the same ids of it, so nothing is created twice.
 */
export interface IdempotencyStore {
  /** `mine`: do it, and `finish`. `busy`: somebody does it at this moment. `mismatch`: the key was used for another body. */
  begin(request: {
    readonly caller: string
    readonly route: string
    readonly key: string
    readonly body_hash: string
    /** Used if the request is new. */
    readonly seed: Uint8Array
    /** After this long without an end, the one who began has died: the next one does it, with the same seed and time. */
    readonly takeOverMs: number
    readonly keepMs: number
  }): Promise<
    | { readonly state: 'mine'; readonly seed: Uint8Array; readonly at: number }
    | { readonly state: 'done'; readonly answer: StoredAnswer }
    | { readonly state: 'busy' | 'mismatch' }
  >
  /** Keeps the answer. Null: it was refused without creating anything, and the key is free again. */
  finish(request: { readonly caller: string; readonly route: string; readonly key: string }, answer: StoredAnswer | null): Promise<void>
}
