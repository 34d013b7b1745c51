import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { repository } from '../../dev/bundle.ts'
import { mechanisms } from './mechanisms.ts'
import type { Mechanism } from './mechanisms.ts'

test('each text that a proof takes out is still there, once', async () => {
  const stale: string[] = []
  for (const [name, patches] of Object.entries(mechanisms)) {
    for (const { file, find } of [patches].flat() as Mechanism[]) {
      const text = await readFile(`${repository}${file}`, 'utf8')
      if (text.split(find).length !== 2) stale.push(`${name}: ${file}`)
    }
  }
  expect(stale).toEqual([])
})
