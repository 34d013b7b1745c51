/** Full jitter: a uniform delay in [0, min(cap, base·2^tries)). `random` is in [0, 1). */
export function fullJitter(tries: number, random: number, baseMs = 1_000, capMs = 60_000): number {
  return Math.floor(random * Math.min(capMs, baseMs * 2 ** Math.min(tries, 30)))
}

/** Reconnecting: the first try at once, then a uniform delay inside a window of 1, 2, 4 … 32 s. */
export function reconnectDelay(tries: number, random: number): number {
  return tries === 0 ? 0 : fullJitter(tries - 1, random, 1_000, 32_000)
}
