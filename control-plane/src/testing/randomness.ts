import type { Randomness } from '../ports/randomness.ts'

/** The same bytes in every run, none of them twice in a row (mulberry32). */
export function seededRandomness(seed = 1): Randomness {
  let state = seed
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
  return { bytes: (count) => Uint8Array.from({ length: count }, () => next() & 0xff), chance: () => next() / 2 ** 32 }
}
