import { fullJitter } from '@rdev/shared/domain/backoff'

/** About 10 s in all: a busy hub answers by then, and a hub that was reset learns of the task at its agent's `hello`. */
const maxTries = 6
const baseMs = 250
const capMs = 8_000

/**
 * Repeats a poke that failed. In an idle system nothing polls, so without the poke nobody would tell the hub of an accepted task. The waits
 * have full jitter. Throws what the last try threw.
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
