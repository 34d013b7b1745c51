import { fullJitter } from '@rdev/shared/domain/backoff'

/** About 10 s in all: a hub that has too much to do is back by then, and one that was reset is told by its agent's hello. */
const maxTries = 6
const baseMs = 250
const capMs = 8_000

/**
 * A poke that failed is repeated for a while: of a task that was accepted in an idle system nobody else would tell the hub, since nothing
 * polls there. Throws what the last try threw.
 */
export async function repeatPoke(poke: () => Promise<void>, wait: (ms: number) => Promise<void>, chance: () => number): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      return await poke()
    } catch (error) {
      if (tries >= maxTries) throw error
      await wait(fullJitter(tries, chance(), baseMs, capMs))
    }
  }
}
