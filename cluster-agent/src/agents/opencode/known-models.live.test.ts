import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { createPod } from '../testing/child-attempt.ts'
import { knownModels } from './known-models.ts'

test('the known models are what the binary lists itself, prices and limits too', async () => {
  const pod = await createPod({ ANTHROPIC_API_KEY: 'scripted', OPENCODE_DISABLE_MODELS_FETCH: '1', OPENCODE_DISABLE_AUTOUPDATE: '1' })
  const list = (env: Readonly<Record<string, string>>) => {
    const told = execFileSync('opencode', ['models', 'anthropic', '--verbose'], {
      cwd: pod.workspace,
      env: { ...pod.env, ...env },
      encoding: 'utf8',
    })
    return Object.keys(knownModels.anthropic.models).map((id) => {
      const at = told.indexOf(`anthropic/${id}\n`)
      const from = told.indexOf('{', at)
      const model: unknown = JSON.parse(told.slice(from, told.indexOf('\n}', from) + 2))
      return model
    })
  }
  const path = `${pod.home}/models.json`
  writeFileSync(path, JSON.stringify(knownModels))
  expect(list({ OPENCODE_MODELS_PATH: path })).toEqual(list({}))
  await pod.remove()
})
