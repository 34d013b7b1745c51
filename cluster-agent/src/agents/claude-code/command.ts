import type { AgentRequest } from '@rdev/shared/domain/code-agent'
import { exportAll, quote } from '../../sh.ts'
import { usualTools } from '../usual-tools.ts'

/** A quiet run without a person: nothing is updated, reported or asked in the background. */
const quiet = {
  DISABLE_AUTOUPDATER: '1',
  DISABLE_TELEMETRY: '1',
  DISABLE_ERROR_REPORTING: '1',
  DISABLE_BUG_COMMAND: '1',
  DISABLE_INSTALLATION_CHECKS: '1',
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
  CLAUDE_CODE_DISABLE_TERMINAL_TITLE: '1',
}

function permissions(request: AgentRequest): readonly string[] {
  const { allowed_tools: tools, permission_mode: mode } = request
  if (mode === 'bypassPermissions') return ['--dangerously-skip-permissions']
  const allow = (names: readonly string[]) => names.map((name) => `--allowedTools=${name}`)
  if (tools) return [`--permission-mode=${mode ?? 'default'}`, ...allow(tools)]
  return mode ? [`--permission-mode=${mode}`] : ['--permission-mode=acceptEdits', ...allow(usualTools)]
}

/** The script of the process. The prompt is not in it: that goes by stdin. Options carry their value after `=`, so none can pose as another. */
export function claudeScript(request: AgentRequest): string {
  const words = ['claude', '-p', '--output-format=stream-json', '--verbose', ...permissions(request)]
  if (request.deltas) words.push('--include-partial-messages')
  if (request.model !== undefined) words.push(`--model=${request.model}`)
  if (request.provider_session_id !== undefined) words.push(`--resume=${request.provider_session_id}`)
  // As root it refuses to skip permissions unless told that this is a sandbox, which a pod that allows it is.
  const sandbox = request.permission_mode === 'bypassPermissions' ? exportAll({ IS_SANDBOX: '1' }) : ''
  return `${exportAll(quiet)}${sandbox}exec ${words.map(quote).join(' ')}\n`
}
