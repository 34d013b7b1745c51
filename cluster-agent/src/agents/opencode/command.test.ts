import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openCodeScript, passwordLine } from './command.ts'
import { knownModels } from './known-models.ts'
import { refusedExit } from './settings.ts'

/** Runs the script with a program in opencode's place that prints its environment. */
function setup() {
  const home = mkdtempSync(join(tmpdir(), 'rdev-script-'))
  onTestFinished(() => rmSync(home, { recursive: true }))
  const [bin, workspace] = [join(home, 'bin'), join(home, 'repo/inner')]
  for (const folder of [bin, workspace, join(home, 'repo/.git')]) mkdirSync(folder, { recursive: true })
  writeFileSync(join(bin, 'opencode'), '#!/bin/sh\necho "$@"\nenv\n', { mode: 0o755 })
  const run = (
    env: Readonly<Record<string, string>> = {},
    permission: object = { '*': 'deny' },
    knownModel = true,
    trusted = true,
    cwd = workspace,
  ) =>
    execFileSync('sh', ['-c', openCodeScript({ password: 'secret', permission, knownModel, trusted })], {
      cwd,
      env: { HOME: home, PATH: `${bin}:/usr/bin:/bin`, ...env },
      encoding: 'utf8',
    }).split('\n')
  const folder = (path: string) => mkdirSync(join(home, 'repo', path), { recursive: true })
  const installed = (path: string) => existsSync(join(home, 'repo', path, 'node_modules'))
  return { home, run, folder, installed }
}
const valueOf = (lines: readonly string[], name: string) => lines.find((line) => line.startsWith(`${name}=`))?.slice(name.length + 1)

test('the server gets the password, the rules, and a configuration with the base URL of the model', () => {
  const { run } = setup()
  const lines = run({ ANTHROPIC_BASE_URL: 'http://model/' }, { '*': 'deny', "it's": 'allow' })
  expect(lines.slice(0, 2)).toEqual([`${passwordLine}secret`, 'serve --hostname 127.0.0.1 --port 0'])
  expect(JSON.parse(valueOf(lines, 'OPENCODE_PERMISSION')!)).toEqual({ '*': 'deny', "it's": 'allow' })
  expect(JSON.parse(valueOf(lines, 'OPENCODE_CONFIG_CONTENT')!)).toMatchObject({
    provider: { anthropic: { options: { baseURL: 'http://model/v1' } } },
  })
})

test("a pod's own configuration is left as it is, and the task's rules still hold", () => {
  const lines = setup().run({ OPENCODE_CONFIG_CONTENT: '{"own":true}', OPENCODE_PERMISSION: '"allow"' })
  expect(valueOf(lines, 'OPENCODE_CONFIG_CONTENT')).toBe('{"own":true}')
  expect(valueOf(lines, 'OPENCODE_PERMISSION')).toBe('{"*":"deny"}')
})

test('a task with a known model gets a short list of models, unless something could name others', () => {
  const { home, run, folder } = setup()
  const list = (lines: readonly string[]) => valueOf(lines, 'OPENCODE_MODELS_PATH')
  const path = list(run())!
  expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(knownModels)
  expect(list(run())).toBe(path)
  expect(list(run({}, {}, false))).toBeUndefined()
  const plugins = (lines: readonly string[]) => valueOf(lines, 'OPENCODE_DISABLE_DEFAULT_PLUGINS')
  expect([plugins(run()), plugins(run({}, {}, false))]).toEqual(['1', undefined])
  expect(list(run({ OPENCODE_CONFIG_CONTENT: '{}' }))).toBeUndefined()
  expect(list(run({ OPENCODE_MODELS_PATH: '/own' }))).toBe('/own')
  for (const file of ['repo/opencode.json', '.config/opencode/opencode.jsonc', '.local/share/opencode/auth.json']) {
    mkdirSync(join(home, file, '..'), { recursive: true })
    writeFileSync(join(home, file), '{}')
    expect(list(run())).toBeUndefined()
    rmSync(join(home, file))
  }
  expect(list(run())).toBe(path)
  folder('.opencode/agent')
  expect(list(run())).toBeUndefined()
})

test('a folder of commands or agents in the workspace is marked as installed, so that nothing is fetched into it', () => {
  const { run, home, folder, installed } = setup()
  folder('.opencode/command')
  folder('inner/.opencode/agent')
  run()
  expect([installed('.opencode'), installed('inner/.opencode')]).toEqual([true, true])
  const lock = JSON.parse(readFileSync(join(home, 'repo/.opencode/package-lock.json'), 'utf8'))
  expect(lock.packages[''].dependencies).toEqual({ '@opencode-ai/plugin': '*' })
  expect(existsSync(join(home, '.config/opencode/node_modules'))).toBe(true)
})

test('a folder that needs packages, has its own, or lies outside of the repository is left alone', () => {
  const { run, home, folder, installed } = setup()
  folder('.opencode/plugin')
  folder('inner/.opencode')
  writeFileSync(join(home, 'repo/inner/.opencode/package.json'), '{}')
  mkdirSync(join(home, '.opencode/command'), { recursive: true })
  folder('../elsewhere')
  run()
  expect([installed('.opencode'), installed('inner/.opencode')]).toEqual([false, false])
  // The home's own folder is read by every task of the pod.
  expect(installed('../.opencode')).toBe(true)
})

test("without trust a workspace's settings are not read, its instructions are named, and nothing is marked in it", () => {
  const { run, home, folder, installed } = setup()
  const untrusted = (env: Readonly<Record<string, string>> = {}) => run(env, {}, true, false)
  const instructions = (text: string | undefined) => (JSON.parse(text!) as { instructions: unknown }).instructions
  expect(instructions(valueOf(untrusted(), 'OPENCODE_CONFIG_CONTENT'))).toEqual([])
  folder('.opencode/command')
  writeFileSync(join(home, 'repo/opencode.json'), '{"model":"openai/other"}')
  writeFileSync(join(home, 'repo/CLAUDE.md'), 'words')
  const inner = [join(home, 'repo/inner/AGENTS.md'), join(home, 'repo/AGENTS.md')]
  for (const path of [...inner, join(home, 'AGENTS.md')]) writeFileSync(path, 'words')
  const lines = untrusted({ ANTHROPIC_BASE_URL: 'http://model/' })
  expect(valueOf(lines, 'OPENCODE_DISABLE_PROJECT_CONFIG')).toBe('1')
  expect(valueOf(lines, 'OPENCODE_MODELS_PATH')).toBeDefined()
  expect(instructions(valueOf(lines, 'OPENCODE_CONFIG_CONTENT'))).toEqual(inner)
  expect(installed('.opencode')).toBe(false)
  expect(valueOf(run(), 'OPENCODE_DISABLE_PROJECT_CONFIG')).toBeUndefined()

  const own = untrusted({ OPENCODE_CONFIG_CONTENT: '{"own":true}', TMPDIR: home })
  expect(valueOf(own, 'OPENCODE_CONFIG_CONTENT')).toBe('{"own":true}')
  expect(instructions(readFileSync(valueOf(own, 'OPENCODE_CONFIG')!, 'utf8'))).toEqual(inner)
  for (const path of inner) rmSync(path)
  expect(instructions(valueOf(untrusted(), 'OPENCODE_CONFIG_CONTENT'))).toEqual([join(home, 'repo/CLAUDE.md')])
})

test('a path with quotes is still a path', () => {
  const { run, home } = setup()
  const odd = join(home, 'repo/in"ner\\ one')
  mkdirSync(odd)
  writeFileSync(join(odd, 'AGENTS.md'), 'words')
  const lines = run({}, {}, true, false, odd)
  expect(JSON.parse(valueOf(lines, 'OPENCODE_CONFIG_CONTENT')!)).toMatchObject({ instructions: [join(odd, 'AGENTS.md')] })
})

test.each([
  ['repo/.opencode/plugin/x.js', 'export default {}'],
  ['repo/inner/.opencode/plugins/x.ts', 'export default {}'],
  ['repo/.opencode/plugins/.x.js', 'export default {}'],
  ['repo/opencode.json', '{"plugin":["x"]}'],
  ['repo/inner/.opencode/opencode.jsonc', '{"\\u0070lugin":["x"]}'],
])('a repository with plugins is refused without trust: %s', (path, text) => {
  const { run, home } = setup()
  mkdirSync(join(home, path, '..'), { recursive: true })
  writeFileSync(join(home, path), text)
  expect(() => run({}, {}, true, false)).toThrow(expect.objectContaining({ status: refusedExit, stderr: expect.stringContaining(path) }))
  expect(valueOf(run(), 'OPENCODE_CONFIG_CONTENT')).toBeDefined()
})
