import { expect, test } from 'vitest'
import { repeatPoke } from './repeat-poke.ts'

function setup(failures: number) {
  const waits: number[] = []
  let pokes = 0
  const poke = async () => {
    pokes++
    if (pokes <= failures) throw new Error('the hub is overloaded')
  }
  const wait = async (ms: number) => void waits.push(ms)
  return { run: () => repeatPoke(poke, wait, () => 0.5), waits, pokes: () => pokes }
}

// Found by the simulator: an accepted task whose only poke failed waited for ever in an idle system.
test('a poke that fails is repeated, with growing pauses', async () => {
  const it = setup(3)
  await it.run()
  expect(it.pokes()).toBe(4)
  expect(it.waits).toEqual([125, 250, 500])
})

test('a poke that keeps failing is given up, and its last error is thrown', async () => {
  const it = setup(100)
  await expect(it.run()).rejects.toThrow('overloaded')
  expect(it.pokes()).toBe(7)
})
