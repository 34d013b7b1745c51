export interface Timed {
  readonly perS: number
  readonly tookMs: readonly number[]
}

/** `count` calls, at most `width` at once. If one call fails, all fail: the time of a failed run means nothing. */
export async function inFlight(count: number, width: number, call: (index: number) => Promise<unknown>): Promise<Timed> {
  const tookMs: number[] = []
  let next = 0
  const worker = async () => {
    for (let index = next++; index < count; index = next++) {
      const began = performance.now()
      await call(index)
      tookMs.push(performance.now() - began)
    }
  }
  const began = performance.now()
  await Promise.all(Array.from({ length: Math.min(width, count) }, worker))
  return { perS: (count / (performance.now() - began)) * 1_000, tookMs }
}
