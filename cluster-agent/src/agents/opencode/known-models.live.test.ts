import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import { createPod } from '../testing/child-attempt.ts'
import { knownModels } from './known-models.ts'

/** Other versions have lists of other dates: 1.15.0 knows Sonnet with 200,000 tokens of context. What a task costs is the same. */
const pinned = process.env.RDEV_TEST_BINARIES === undefined

test('the known models are what the binary lists itself, prices and limits too', async () => {
  const pod = await createPod({ ANTHROPIC_API_KEY: 'scripted', OPENCODE_DISABLE_MODELS_FETCH: '1', OPENCODE_DISABLE_AUTOUPDATE: '1' })
  onTestFinished(() => pod.remove())
  const list = (env: Readonly<Record<string, string>>) => {
    const told = execFileSync('opencode', ['models', 'anthropic', '--verbose'], {
      cwd: pod.workspace,
      env: { ...pod.env, ...env },
      encoding: 'utf8',
    })
    return Object.keys(knownModels.anthropic.models).map((id) => {
      const at = told.indexOf(`anthropic/${id}\n`)
      const from = told.indexOf('{', at)
      const model = JSON.parse(told.slice(from, told.indexOf('\n}', from) + 2)) as Readonly<Record<string, unknown>>
      return pinned ? model : { id: model.id, cost: model.cost }
    })
  }
  const path = `${pod.home}/models.json`
  writeFileSync(path, JSON.stringify(knownModels))
  expect(list({ OPENCODE_MODELS_PATH: path })).toEqual(list({}))
})
