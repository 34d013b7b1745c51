import type { AgentRequest } from '@rdev/shared/domain/code-agent'
import { exportAll, quote } from '../../sh.ts'
import { usualTools } from '../usual-tools.ts'
import { printTotal } from './costs.ts'
import { pinSettings } from './settings.ts'

/** For a run without a person: the program does not update itself, report anything or ask. */
const quiet = {
  DISABLE_AUTOUPDATER: '1',
  DISABLE_TELEMETRY: '1',
  DISABLE_ERROR_REPORTING: '1',
  DISABLE_BUG_COMMAND: '1',
  DISABLE_INSTALLATION_CHECKS: '1',
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
  CLAUDE_CODE_DISABLE_TERMINAL_TITLE: '1',
  // None. It would stop subagents in the background 10 minutes after an answer, and call that a success; the task has time limits of its own.
  CLAUDE_CODE_PRINT_BG_WAIT_CEILING_MS: '0',
}

/** The program keeps the output of commands and its sockets in /tmp, unless this names another folder; TMPDIR alone does not. */
const temporary = '[ -z "${TMPDIR:-}" ] || export CLAUDE_CODE_TMPDIR="${CLAUDE_CODE_TMPDIR:-$TMPDIR}"\n'

function permissions(request: AgentRequest): readonly string[] {
  const { allowed_tools: tools, permission_mode: mode } = request
  if (mode === 'bypassPermissions') return ['--dangerously-skip-permissions']
  const allow = (names: readonly string[]) => names.map((name) => `--allowedTools=${name}`)
  if (tools) return [`--permission-mode=${mode ?? 'default'}`, ...allow(tools)]
  return mode ? [`--permission-mode=${mode}`] : ['--permission-mode=acceptEdits', ...allow(usualTools)]
}

/**
 * What the process reads. A prompt that begins with a slash would be a command of the program: `/clear` forgets the conversation, and what follows
 * the name is swallowed. Commands begin at the very first character.
 */
export const claudeInput = (prompt: string): string => (prompt.startsWith('/') ? `\n${prompt}` : prompt)

/** The script of the process. The prompt is not in it, it comes by stdin. Options have their value after `=`, so no value is taken for an option. */
export function claudeScript(request: AgentRequest, trusted = false): string {
  const words = ['claude', '-p', '--output-format=stream-json', '--verbose', ...permissions(request)]
  if (request.deltas) words.push('--include-partial-messages')
  if (request.model !== undefined) words.push(`--model=${request.model}`)
  if (request.provider_session_id !== undefined) words.push(`--resume=${request.provider_session_id}`)
  // As root the CLI bypasses permissions only in a sandbox. A pod that allows bypassPermissions is one.
  const sandbox = request.permission_mode === 'bypassPermissions' ? exportAll({ IS_SANDBOX: '1' }) : ''
  const settings = trusted ? 'set --\n' : pinSettings
  const total = request.provider_session_id === undefined ? '' : printTotal(request.provider_session_id)
  return `${exportAll(quiet)}${temporary}${sandbox}${total}${settings}exec ${words.map(quote).join(' ')} "$@"\n`
}
