import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { repository } from '../../dev/bundle.ts'
import { patched } from '../../dev/text-patch.ts'
import { mechanisms } from './mechanisms.ts'
import type { Mechanism } from './mechanisms.ts'

test('each text that a proof takes out is still there, once', async () => {
  const stale: string[] = []
  for (const [name, patches] of Object.entries(mechanisms)) {
    for (const mechanism of [patches].flat() as Mechanism[]) {
      const text = await readFile(`${repository}${mechanism.file}`, 'utf8')
      try {
        patched(mechanism.file, text, [mechanism])
      } catch (error) {
        stale.push(`${name}: ${String(error)}`)
      }
    }
  }
  expect(stale).toEqual([])
})
