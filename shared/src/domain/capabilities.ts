import { permissionModes } from './code-agent.ts'
import type { AgentCapabilities, AgentProvider } from './code-agent.ts'

/** What each provider can do: the API and the code agents both use it. For OpenCode, Claude Code's modes and tools become its own rules. */
export const agentCapabilities: Readonly<Record<AgentProvider, AgentCapabilities>> = {
  'claude-code': {
    provider: 'claude-code',
    name: 'Claude Code',
    resume: true,
    deltas: true,
    allowed_tools: true,
    permission_modes: permissionModes,
    reports_cost: true,
  },
  opencode: {
    provider: 'opencode',
    name: 'OpenCode',
    resume: true,
    deltas: true,
    allowed_tools: true,
    permission_modes: permissionModes,
    reports_cost: true,
  },
}
