// A cache of the lanes' depths: the last count plus what this isolate has inserted since. Counting costs about 0.1 µs a queued task, so a lane
// is counted again after a time that grows with its depth, and before it is called full. Inserts of other isolates are not seen in between,
// so a lane may exceed its cap by as much. (A counter in the lane's row would be exact, but every insert would wait for it. Caps of up to a
// thousand are exact: the statement counts each time.)

interface Known {
  readonly depth: number
  readonly countedAt: number
  /** When a count last found the lane full; null: the last count did not. */
  readonly fullAt: number | null
}

/** A full lane is counted at most this often, however many inserts it refuses. */
const recountMs = 1_000
const maxAgeMs = 60_000
const maxAge = ({ depth }: Known) => Math.min(maxAgeMs, recountMs + depth / 20)

/** Lanes in the cache; when it is full, it is cleared. */
const maxLanes = 10_000

export class Depths {
  readonly #lanes = new Map<string, Known>()
  readonly #counting = new Set<string>()

  /** The cached depth; null: the caller must count, and call `done`. While one caller counts, others get the cached depth. */
  known(lane: string, now: number): number | null {
    const known = this.#lanes.get(lane)
    if (!known) return null
    if (now - known.countedAt < maxAge(known) || this.#counting.has(lane)) return known.depth
    this.#counting.add(lane)
    return null
  }

  /** Whether a lane that looks full by its cached depth should be counted. */
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

  /** The caller that was told to count has finished, or failed. */
  done(lane: string): void {
    this.#counting.delete(lane)
  }
}
