// Random numbers from a seed: sfc32 (PractRand, Chris Doty-Humphrey), seeded by splitmix32. One seed gives one history.

export class Random {
  #a: number
  #b: number
  #c: number
  #d = 1

  constructor(seed: number) {
    let s = seed | 0
    const next = () => {
      s = (s + 0x9e3779b9) | 0
      let t = s ^ (s >>> 16)
      t = Math.imul(t, 0x21f0aaad)
      t ^= t >>> 15
      t = Math.imul(t, 0x735a2d97)
      return (t ^ (t >>> 15)) | 0
    }
    this.#a = next()
    this.#b = next()
    this.#c = next()
    for (let i = 0; i < 12; i++) this.chance()
  }

  /** Uniform in [0, 1). */
  chance(): number {
    const t = (((this.#a + this.#b) | 0) + this.#d) | 0
    this.#d = (this.#d + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + t
    return (t >>> 0) / 4_294_967_296
  }

  /** True with this probability. With 0 no number is drawn, so that a fault that is off does not change the rest of the history. */
  maybe(p: number): boolean {
    return p > 0 && this.chance() < p
  }

  /** An integer in [low, high]. */
  int(low: number, high: number): number {
    return low + Math.floor(this.chance() * (high - low + 1))
  }

  /** Milliseconds between two bounds, small values more often: most things are fast, some are not. */
  skewed(low: number, high: number): number {
    return Math.round(low + (high - low) * this.chance() ** 4)
  }

  /** The time until the next event, where events come on average every `meanMs` (exponential distribution). */
  wait(meanMs: number): number {
    return Math.ceil(-Math.log(1 - this.chance()) * meanMs)
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.chance() * items.length)]!
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => Math.floor(this.chance() * 256))
  }
}
