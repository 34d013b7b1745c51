/** Milliseconds. Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): uniform in [0, min(cap, base·2^tries)). `random` is in [0, 1). */
export function fullJitter(tries: number, random: number, baseMs = 1_000, capMs = 60_000): number {
  return Math.floor(random * Math.min(capMs, baseMs * 2 ** Math.min(tries, 30)))
}

/** Milliseconds before a reconnect: none for the first try, then full jitter below 1, 2, 4 … 32 s. `random` is in [0, 1). */
export function reconnectDelay(tries: number, random: number): number {
  return tries === 0 ? 0 : fullJitter(tries - 1, random, 1_000, 32_000)
}
