import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openCodeScript, passwordLine } from './command.ts'

/** Runs the script with a program in opencode's place that prints its environment. */
function setup() {
  const home = mkdtempSync(join(tmpdir(), 'rdev-script-'))
  onTestFinished(() => rmSync(home, { recursive: true }))
  const [bin, workspace] = [join(home, 'bin'), join(home, 'repo/inner')]
  for (const folder of [bin, workspace, join(home, 'repo/.git')]) mkdirSync(folder, { recursive: true })
  writeFileSync(join(bin, 'opencode'), '#!/bin/sh\necho "$@"\nenv\n', { mode: 0o755 })
  const run = (env: Readonly<Record<string, string>> = {}, permission: object = { '*': 'deny' }) =>
    execFileSync('sh', ['-c', openCodeScript('secret', permission)], {
      cwd: workspace,
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
