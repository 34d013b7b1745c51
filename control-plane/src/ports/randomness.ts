/** `bytes` answers that many random bytes; `chance` is uniform in [0, 1). */
export interface Randomness {
  bytes(count: number): Uint8Array
  chance(): number
}
