// Random numbers from a seed (mulberry32), so that the choices of a run can be repeated. The timing of the programs cannot.
export interface Random {
  readonly seed: number
  /** Uniform in [0, 1). */
  chance(): number
  between(from: number, to: number): number
  pick<Item>(items: readonly Item[]): Item
  /** A generator of its own, so that the draws of one user do not change those of another. */
  fork(): Random
}

export function randomFrom(seed: number): Random {
  let state = seed >>> 0
  const chance = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let x = state
    x = Math.imul(x ^ (x >>> 15), x | 1)
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61)
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32
  }
  const between = (from: number, to: number) => from + chance() * (to - from)
  return {
    seed,
    chance,
    between,
    pick: (items) => items[Math.floor(chance() * items.length)]!,
    fork: () => randomFrom(Math.floor(chance() * 2 ** 32)),
  }
}
