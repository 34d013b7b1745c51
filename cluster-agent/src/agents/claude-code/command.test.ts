import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Attempt, ProcessSpec } from '../../ports.ts'
import { aPod } from '../testing/a-pod.ts'
import { createClaudeCode } from './claude-code.ts'
import { claudeScript } from './command.ts'
import { printTotal, printTotalIn, readPrinted } from './costs.ts'

/** What the process is started with. */
async function setup(prompt: string): Promise<ProcessSpec> {
  const started = Promise.withResolvers<ProcessSpec>()
  const process = (spec: ProcessSpec) => {
    started.resolve(spec)
    return new Promise<void>(() => {})
  }
  const agent = createClaudeCode({ run: () => Promise.reject(new Error('not asked')) })
  void agent.execute({ provider: 'claude-code', prompt, timeout_s: 60, deltas: false }, {
    process,
    pod: aPod,
  } as Partial<Attempt> as Attempt)
  return started.promise
}

test.each(['/clear', '/cost of living in Berlin', '/model opus\nand more', '/'])(
  '%j is a prompt, not a command of the program',
  async (prompt) => {
    const { stdin } = await setup(prompt)
    // A command begins at the very first character.
    expect(stdin).toBe(`\n${prompt}`)
  },
)

test.each(['hello', ' /clear', 'see /clear', '!ls', '# title', '@file'])('%j is not changed', async (prompt) => {
  expect((await setup(prompt)).stdin).toBe(prompt)
})

/** The script with another program in place of `claude`, which prints the settings that it would get. */
function pinnedBy(env: Record<string, string>, trusted: boolean): { words: string[]; env: Record<string, string> } {
  const folder = mkdtempSync(join(tmpdir(), 'rdev-command-'))
  try {
    const print = 'for word; do echo "$word"; case $word in --settings=*) cat "${word#--settings=}" >&2 ;; esac; done'
    writeFileSync(join(folder, 'claude'), `#!/bin/sh\n${print}\n`, { mode: 0o755 })
    const script = claudeScript({ provider: 'claude-code', prompt: 'x', timeout_s: 60, deltas: false }, trusted)
    const run = spawnSync('sh', ['-c', script, 'sh', 'left', 'over'], {
      env: { PATH: `${folder}:/usr/bin:/bin`, HOME: folder, TMPDIR: folder, ...env },
      encoding: 'utf8',
    })
    const settings: { env: Record<string, string> } = run.stderr === '' ? { env: {} } : JSON.parse(run.stderr)
    return { words: run.stdout.trim().split('\n'), env: settings.env }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test("the pod's address of the model and its proxies count over those of a repository, whatever characters they have", () => {
  const own = { ANTHROPIC_BASE_URL: 'http://model:1/a b"c\\d', HTTPS_PROXY: "http://user:pa$$'word@proxy:3128" }
  const { words, env } = pinnedBy(own, false)
  expect(words).toEqual(expect.arrayContaining(['-p', '--strict-mcp-config']))
  expect(words).not.toContain('over')
  expect(words.join('\n')).not.toContain('proxy')
  expect(env).toMatchObject({ ...own, HTTP_PROXY: '', NODE_TLS_REJECT_UNAUTHORIZED: '' })
  expect(pinnedBy({}, false).env).toMatchObject({ ANTHROPIC_BASE_URL: 'https://api.anthropic.com', HTTPS_PROXY: '' })
})

test('a pod that trusts the settings of repositories pins nothing', () => {
  const { words, env } = pinnedBy({ ANTHROPIC_BASE_URL: 'http://model' }, true)
  expect(words).not.toContain('--strict-mcp-config')
  expect(words).not.toContain('over')
  expect(env).toEqual({})
})

test('the newest total of a conversation is found in the home that the task names, and in no other file', () => {
  const home = mkdtempSync(join(tmpdir(), 'rdev costs '))
  try {
    const folder = join(home, '.claude/projects/-a-b')
    mkdirSync(folder, { recursive: true })
    const total = (cost: number) => `{"type":"cost-state","totalCostUSD":${cost},"modelUsage":{"m":{"inputTokens":${cost}}}}\n`
    writeFileSync(
      join(folder, 'one.jsonl'),
      `${total(1)}{"type":"user","text":"\u00e9 {\\"type\\":\\"cost-state\\"}"}\n${total(2)}{"type":"mode"}\n`,
    )
    writeFileSync(join(folder, 'two.jsonl'), total(3))
    const run = (script: string, env: Record<string, string>) =>
      spawnSync('sh', ['-c', script], { env: { PATH: '/usr/bin:/bin', LC_ALL: 'C.UTF-8', ...env }, encoding: 'utf8' }).stdout
    expect(readPrinted(run(printTotal('one'), { HOME: home }))).toMatchObject({ cost_usd: 2, usage: { input_tokens: 2 } })
    expect(readPrinted(run(printTotalIn({ CLAUDE_CONFIG_DIR: join(home, '.claude') }, 'two'), { HOME: '/' }))).toMatchObject({
      cost_usd: 3,
    })
    expect(run(printTotal('three'), { HOME: home })).toBe('')
    expect(printTotal('../*')).toBe('')
    const followUp = claudeScript({ provider: 'claude-code', prompt: 'x', timeout_s: 60, deltas: false, provider_session_id: 'one' })
    expect(run(`claude() { echo "after $*"; }\n${followUp.replace('exec claude', 'claude')}`, { HOME: home })).toMatch(
      /^{"type":"cost-state"[^\n]*\nafter -p/,
    )
  } finally {
    rmSync(home, { recursive: true })
  }
})
