// What OpenCode may do without asking, from the same two fields that Claude Code gets. The session gets the rules before the prompt, so an allowed
// tool costs no round trip. Its subagents get them by the configuration. A question that still comes is answered by the same rules.

import type { AgentRequest } from '@rdev/shared/domain/code-agent'
import { usualTools } from '../usual-tools.ts'

type Action = 'allow' | 'deny'
/** Permission → pattern → action; the last pattern that matches counts. */
export type Rules = Readonly<Record<string, Readonly<Record<string, Action>>>>

/** OpenCode's name of the permission for Claude Code's tools. Other names (an MCP tool, OpenCode's own) are used in lower case. */
const permissionOf: Readonly<Record<string, string>> = {
  bash: 'bash',
  edit: 'edit',
  write: 'edit',
  multiedit: 'edit',
  notebookedit: 'edit',
  read: 'read',
  glob: 'glob',
  grep: 'grep',
  ls: 'list',
  webfetch: 'webfetch',
  websearch: 'websearch',
  task: 'task',
  agent: 'task',
  todowrite: 'todowrite',
  skill: 'skill',
}

/** Reading in the workspace needs no permission in either program. */
const harmless = ['read', 'glob', 'grep', 'list', 'todowrite', 'lsp']

/** `Bash(git log:*)` → bash, `git log*`; without parentheses the pattern is `*`. */
function toolRule(tool: string): readonly [permission: string, pattern: string] {
  const parts = /^([^()]+)\((.*)\)$/s.exec(tool)
  const name = (parts?.[1] ?? tool).trim()
  const pattern = parts?.[2]?.replace(/:\*$/, '*') ?? '*'
  return [permissionOf[name.toLowerCase()] ?? name.toLowerCase(), pattern]
}

export function rulesOf(request: Pick<AgentRequest, 'allowed_tools' | 'permission_mode'>): Rules {
  const { permission_mode: mode, allowed_tools } = request
  // OpenCode asks when the model makes the same call three times in a row. Nobody could answer, so the call is denied.
  const loop = { doom_loop: { '*': mode === 'bypassPermissions' ? ('allow' as const) : ('deny' as const) } }
  if (mode === 'bypassPermissions') return { '*': { '*': 'allow' }, external_directory: { '*': 'allow' }, ...loop }

  const usual = allowed_tools === undefined && mode === undefined
  const rules: Record<string, Record<string, Action>> = { '*': { '*': 'deny' } }
  const allow = (permission: string, pattern: string) => {
    // Other uses of a tool with a pattern stay denied. The denial must come first, because the last match counts.
    rules[permission] = { ...(rules[permission] ?? { '*': 'deny' }), [pattern]: 'allow' }
  }
  for (const permission of harmless) allow(permission, '*')
  if (mode === 'acceptEdits') allow('edit', '*')
  for (const tool of usual ? usualTools : (allowed_tools ?? [])) allow(...toolRule(tool))
  if (mode === 'plan') rules.edit = { '*': 'deny' }
  // The pod is the boundary, not the workspace: an agent that may run any command may name any path.
  rules.external_directory = { '*': rules.bash?.['*'] ?? 'deny' }
  return { ...rules, ...loop }
}

function matches(pattern: string, subject: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, String.raw`\$&`)
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
  return new RegExp(`^${source}$`, 's').test(subject)
}

/** Allows only if every subject (command or path) is allowed. */
export function decide(rules: Rules, permission: string, subjects: readonly string[]): Action {
  const own = rules[permission] ?? rules['*'] ?? {}
  const actionOf = (subject: string) =>
    Object.entries(own)
      .filter(([pattern]) => matches(pattern, subject))
      .at(-1)?.[1] ?? 'deny'
  return (subjects.length === 0 ? ['*'] : subjects).every((subject) => actionOf(subject) === 'allow') ? 'allow' : 'deny'
}

/** Nobody is there to be asked, and nobody to leave the plan to. */
const never = ['question', 'plan_enter', 'plan_exit']

interface SessionRule {
  readonly permission: string
  readonly pattern: string
  readonly action: Action | 'ask'
}

/**
 * The rules as a session's ruleset, in order. They come after those of any configuration, and the last that matches counts. OpenCode hands a
 * session's denials on to the sessions of its subagents, but not what it allows, and adds each task's rules to those of the tasks before. So
 * what is not allowed is asked about, and answered by `decide`: with `*` denied a subagent had no tool at all.
 */
export const asRuleset = (rules: Rules): readonly SessionRule[] => [
  ...Object.entries(rules).flatMap(([permission, patterns]) =>
    Object.entries(patterns).map(([pattern, action]): SessionRule => ({ permission, pattern, action: action === 'deny' ? 'ask' : action })),
  ),
  ...never.map((permission): SessionRule => ({ permission, pattern: '*', action: 'deny' })),
]

/** What the rules of a subagent's kind say, unless a configuration names it: no lists of work, and no subagents of its own. */
const ofTheKind: ReadonlySet<string> = new Set(['task', 'todowrite'])

/**
 * The rules as the `permission` of OpenCode's configuration, which its subagents get. One action each, because some permissions take no
 * patterns; those with patterns are asked about.
 */
export function asConfig(rules: Rules): Readonly<Record<string, Action | 'ask'>> {
  const config = Object.entries(rules)
    .filter(([permission]) => !ofTheKind.has(permission))
    .map(([permission, patterns]) => [permission, Object.keys(patterns).length > 1 ? 'ask' : (patterns['*'] ?? 'ask')] as const)
  return Object.fromEntries([...config, ...never.map((permission) => [permission, 'deny'] as const)])
}
