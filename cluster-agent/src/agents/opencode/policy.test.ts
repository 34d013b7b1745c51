import { expect, test } from 'vitest'
import { asConfig, asRuleset, decide, rulesOf } from './policy.ts'

test('without allowed_tools an agent may do its work, and only a loop is stopped', () => {
  const rules = rulesOf({})
  for (const permission of ['bash', 'edit', 'read', 'webfetch', 'external_directory'])
    expect(decide(rules, permission, ['x'])).toBe('allow')
  expect(decide(rules, 'doom_loop', ['bash'])).toBe('deny')
  expect(decide(rules, 'some_mcp_tool', ['*'])).toBe('deny')
})

test('with allowed_tools everything else is denied, except reading', () => {
  const rules = rulesOf({ allowed_tools: ['Bash(git log:*)', 'Bash(npm test)', 'WebFetch', 'some_mcp_tool'] })
  expect(decide(rules, 'read', ['/x'])).toBe('allow')
  expect(decide(rules, 'bash', ['git log --oneline'])).toBe('allow')
  expect(decide(rules, 'bash', ['npm test'])).toBe('allow')
  expect(decide(rules, 'bash', ['npm test', 'rm -rf .'])).toBe('deny')
  expect(decide(rules, 'edit', ['x'])).toBe('deny')
  expect(decide(rules, 'webfetch', [])).toBe('allow')
  expect(decide(rules, 'some_mcp_tool', ['*'])).toBe('allow')
  expect(decide(rules, 'external_directory', ['/etc/*'])).toBe('deny')
})

test('the modes of Claude Code mean the same here', () => {
  const of = (permission_mode: 'default' | 'acceptEdits' | 'plan' | 'dontAsk' | 'bypassPermissions') => rulesOf({ permission_mode })
  expect(decide(of('default'), 'edit', ['x'])).toBe('deny')
  expect(decide(of('acceptEdits'), 'edit', ['x'])).toBe('allow')
  expect(decide(of('acceptEdits'), 'bash', ['x'])).toBe('deny')
  expect(decide(rulesOf({ permission_mode: 'plan', allowed_tools: ['Edit'] }), 'edit', ['x'])).toBe('deny')
  expect(decide(of('bypassPermissions'), 'anything', ['x'])).toBe('allow')
})

test('the ruleset keeps the order in which the last match counts, and asks about the rest, so that a denial has its events', () => {
  const ruleset = asRuleset(rulesOf({ allowed_tools: ['Bash(ls)'] }))
  expect(ruleset[0]).toEqual({ permission: '*', pattern: '*', action: 'ask' })
  expect(ruleset.filter((rule) => rule.permission === 'bash')).toEqual([
    { permission: 'bash', pattern: '*', action: 'ask' },
    { permission: 'bash', pattern: 'ls', action: 'allow' },
  ])
})

// What a subagent's session gets of its parent's rules (OpenCode 1.15 to 1.18), and how the last match decides about a tool.
const handedOn = (ruleset: ReturnType<typeof asRuleset>) =>
  ruleset.filter((rule) => rule.permission === 'external_directory' || rule.action === 'deny')

test.each([
  rulesOf({}),
  rulesOf({ allowed_tools: ['Read', 'Task'] }),
  rulesOf({ permission_mode: 'plan', allowed_tools: ['Task'] }),
  rulesOf({ permission_mode: 'bypassPermissions' }),
])('no rule of a session takes a tool from its subagents, nor from those of its later tasks', (rules) => {
  const denied = handedOn(asRuleset(rules)).filter((rule) => rule.permission !== 'external_directory')
  expect(denied.map((rule) => rule.permission).sort()).toEqual(['plan_enter', 'plan_exit', 'question'])
})

test('the configuration gives a subagent what the task may do, in a shape that every version takes, and no subagents of its own', () => {
  expect(asConfig(rulesOf({}))).toMatchObject({ '*': 'deny', bash: 'allow', edit: 'allow', read: 'allow', external_directory: 'allow' })
  const some = asConfig(rulesOf({ allowed_tools: ['Bash(git log:*)', 'WebFetch(domain:example.org)', 'Task', 'Read'] }))
  // A pattern of the workspace's own configuration could stand after one of ours, so a tool with patterns is asked about.
  expect(some).toMatchObject({ '*': 'deny', bash: 'ask', webfetch: 'ask', read: 'allow', doom_loop: 'deny' })
  expect(Object.keys(some)[0]).toBe('*')
  expect(some).not.toHaveProperty('task')
  expect(asConfig(rulesOf({ permission_mode: 'plan', allowed_tools: ['Edit'] }))).toMatchObject({ edit: 'deny' })
  expect(asConfig(rulesOf({ permission_mode: 'bypassPermissions' }))).toMatchObject({ '*': 'allow', doom_loop: 'allow' })
})
