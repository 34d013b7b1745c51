// How deep the lanes are, as far as this program knows: what was counted, and what it inserted since. Counting costs about 0.1 µs a queued
// task, so it is done again after a time that grows with the depth, and before a lane is called full. What others insert meanwhile is not
// seen: a lane may go over its cap by as much. (A counter in the lane's row would be exact, and every insert would wait for it: one
// project's accepts would go one after another. A cap of a thousand and less is counted each time, in the statement.)

interface Known {
  readonly depth: number
  readonly countedAt: number
  /** When a count last found it full. */
  readonly fullAt: number | null
}

/** A full lane is counted this often at most, however many knock. */
const recountMs = 1_000
const maxAgeMs = 60_000
const maxAge = ({ depth }: Known) => Math.min(maxAgeMs, recountMs + depth / 20)

/** Lanes known at once; beyond that all are forgotten. */
const maxLanes = 10_000

export class Depths {
  readonly #lanes = new Map<string, Known>()
  readonly #counting = new Set<string>()

  /** Null: count it. While one counts, the others go by what was known. */
  known(lane: string, now: number): number | null {
    const known = this.#lanes.get(lane)
    if (!known) return null
    if (now - known.countedAt < maxAge(known) || this.#counting.has(lane)) return known.depth
    this.#counting.add(lane)
    return null
  }

  /** Whether a lane that was called full by what is known should be counted. */
  mayRecount(lane: string, now: number): boolean {
    const known = this.#lanes.get(lane)
    return known !== undefined && (known.fullAt === null || now - known.fullAt >= recountMs)
  }

  counted(lane: string, { depth, inserted, full }: { depth: number; inserted: number; full: boolean }, now: number): void {
    if (this.#lanes.size >= maxLanes) this.#lanes.clear()
    this.#lanes.set(lane, { depth: depth + inserted, countedAt: now, fullAt: full ? now : null })
  }

  inserted(lane: string, count: number): void {
    const known = this.#lanes.get(lane)
    if (known) this.#lanes.set(lane, { ...known, depth: known.depth + count })
  }

  /** Whoever was told to count has, or could not. */
  done(lane: string): void {
    this.#counting.delete(lane)
  }
}
