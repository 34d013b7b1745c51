import type { AgentCapabilities, AgentProvider } from './code-agent.ts'

/** What each provider can do, as the API tells it and as its code agent answers. */
export const agentCapabilities: Readonly<Record<AgentProvider, AgentCapabilities>> = {
  'claude-code': {
    provider: 'claude-code',
    name: 'Claude Code',
    resume: true,
    deltas: true,
    allowed_tools: true,
    permission_modes: ['default', 'acceptEdits', 'plan', 'dontAsk', 'bypassPermissions'],
    reports_cost: true,
  },
  opencode: {
    provider: 'opencode',
    name: 'OpenCode',
    resume: true,
    deltas: true,
    allowed_tools: false,
    permission_modes: ['default', 'acceptEdits', 'plan', 'bypassPermissions'],
    reports_cost: true,
  },
}
