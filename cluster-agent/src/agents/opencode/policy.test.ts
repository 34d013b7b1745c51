import { expect, test } from 'vitest'
import { asRuleset, decide, rulesOf } from './policy.ts'

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

test('the ruleset keeps the order in which the last match counts', () => {
  const ruleset = asRuleset(rulesOf({ allowed_tools: ['Bash(ls)'] }))
  expect(ruleset[0]).toEqual({ permission: '*', pattern: '*', action: 'deny' })
  expect(ruleset.filter((rule) => rule.permission === 'bash')).toEqual([
    { permission: 'bash', pattern: '*', action: 'deny' },
    { permission: 'bash', pattern: 'ls', action: 'allow' },
  ])
})
