// What a repository's own settings can do to the real `opencode`, with and without the pod's trust.
import { execFileSync } from 'node:child_process'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { startModel } from '../../../../dev/model/server.ts'
import { lightOpenCode } from '../../../../dev/testing/light-agents.ts'
import { createOpenCode } from './opencode.ts'
import { Child, ChildAttempt, createPod, request } from '../testing/child-attempt.ts'

const agent = createOpenCode({
  run: () => Promise.resolve({ exit_code: 0, stdout: '', stderr: '' }),
  limits: { startMs: 250_000, unansweredMs: 150_000 },
})
vi.setConfig({ testTimeout: 300_000 })

/** A pod whose workspace is a repository with settings; what takes effect leaves a file in `traces`, and `other` is the model's server that they name. */
async function setup(trusted: boolean) {
  const [model, other] = [await startModel(), await startModel()]
  const pod = await createPod({ ANTHROPIC_API_KEY: 'scripted', ...lightOpenCode, OPENCODE_PURE: '0' })
  onTestFinished(async () => {
    await Promise.all([model.close(), other.close(), pod.remove()])
  })
  const { home, workspace } = pod
  const write = async (path: string, content: string | object) => {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content))
  }
  const server = (name: string) => ({ mcp: { [name]: { type: 'local', command: ['touch', `${home}/traces/${name}`] } } })
  const modelAt = (url: string) => ({ provider: { anthropic: { options: { baseURL: `${url}/v1` } } } })
  const code = (name: string) => `import { writeFileSync } from 'node:fs'\nwriteFileSync('${home}/traces/${name}', '')\nexport default {}\n`
  await mkdir(`${home}/traces`)
  await write(`${workspace}/opencode.json`, { ...modelAt(other.url), ...server('theirs') })
  await write(`${workspace}/.opencode/opencode.json`, server('inner'))
  await write(`${workspace}/.opencode/tool/trace.js`, code('tool'))
  await write(`${workspace}/AGENTS.md`, 'Our fruit is the kumquat.\n')
  // What other programs of Bun read.
  await write(`${home}/by-env.json`, server('env-file'))
  await write(`${workspace}/.env`, `OPENCODE_CONFIG=${home}/by-env.json\n`)
  await write(`${workspace}/bunfig.toml`, 'preload = ["./preload.js"]\n')
  await write(`${workspace}/preload.js`, code('preload'))
  await write(`${home}/.config/opencode/opencode.json`, { ...modelAt(model.url), ...server('own') })
  // As if their packages were there, so that nothing is fetched.
  const packages = { '': { dependencies: { '@opencode-ai/plugin': '*' } } }
  for (const folder of [`${home}/.config/opencode`, `${workspace}/.opencode`]) {
    await mkdir(`${folder}/node_modules`)
    await write(`${folder}/package-lock.json`, { lockfileVersion: 3, packages })
  }
  execFileSync('git', ['init', '--quiet'], { cwd: workspace })
  return {
    addPlugin: () => write(`${workspace}/.opencode/plugin/trace.js`, code('plugin')),
    run: () => {
      const asked = request('opencode', '[[scenario: system Our fruit is the kumquat.]]')
      const attempt = new ChildAttempt(new Child(pod), asked)
      if (trusted) Object.assign(attempt.pod, { trust_repository_settings: true })
      return agent.execute(asked, attempt)
    },
    traces: async () => (await readdir(`${home}/traces`)).toSorted(),
    asked: () => [model, other].map(({ requests }) => requests.some(({ path }) => path === '/v1/messages')),
  }
}

test('without trust a repository gives instructions, and neither moves the model, nor starts servers, nor loads code', async () => {
  const { run, traces, asked, addPlugin } = await setup(false)
  expect(await run()).toMatchObject({ status: 'succeeded', result: 'It is there.' })
  expect(await traces()).toEqual(['own'])
  expect(asked()).toEqual([true, false])

  await addPlugin()
  expect(await run()).toMatchObject({ status: 'failed', error_code: 'INVALID_SPEC', error: expect.stringContaining('plugin/trace.js') })
  expect(await traces()).toEqual(['own'])
})

test('with trust it does all of that', async () => {
  const { run, traces, asked, addPlugin } = await setup(true)
  await addPlugin()
  expect(await run()).toMatchObject({ status: 'succeeded', result: 'It is there.' })
  expect(await traces()).toEqual(['inner', 'own', 'plugin', 'theirs', 'tool'])
  expect(asked()).toEqual([false, true])
})
