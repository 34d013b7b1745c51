/** `random` fills that many bytes; `chance` is uniform in [0, 1). */
export interface Randomness {
  bytes(count: number): Uint8Array
  chance(): number
}
