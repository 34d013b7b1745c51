// OpenCode behind the CodeAgent port: `opencode serve` in the pod, reached through the attempt's connection to its loopback port.

import { agentCapabilities } from '@rdev/shared/domain/capabilities'
import type { AgentRequest } from '@rdev/shared/domain/code-agent'
import type { Attempt, AttemptDirectories, CodeAgent } from '../../ports.ts'
import { OpenCodeRun, openCodeLimits, type OpenCodeLimits } from './run.ts'

export interface OpenCodeOptions {
  readonly run: AttemptDirectories['run']
  /** `provider/model` for tasks that name none. The binary must know it without a network. */
  readonly defaultModel?: string
  readonly limits?: Partial<OpenCodeLimits>
}

/** Claude Code's short names of models, so that a task need not know which provider runs it. */
const aliases: Readonly<Record<string, string>> = {
  sonnet: 'anthropic/claude-sonnet-4-5',
  opus: 'anthropic/claude-opus-4-5',
  haiku: 'anthropic/claude-haiku-4-5',
}

/** A model without a provider is Anthropic's. */
function modelOf(name: string): { providerID: string; modelID: string } {
  const full = aliases[name] ?? name
  const slash = full.indexOf('/')
  return slash < 0 ? { providerID: 'anthropic', modelID: full } : { providerID: full.slice(0, slash), modelID: full.slice(slash + 1) }
}

export function createOpenCode(options: OpenCodeOptions): CodeAgent {
  const limits = { ...openCodeLimits, ...options.limits }
  const runs = new WeakMap<Attempt, OpenCodeRun>()
  return {
    provider: 'opencode',
    capabilities: () => agentCapabilities.opencode,
    available: async (pod) => (await options.run(pod, 'command -v opencode', 10_000)).exit_code === 0,

    async execute(request: AgentRequest, attempt: Attempt) {
      if (request.permission_mode === 'bypassPermissions' && !attempt.pod.allow_bypass_permissions)
        return { status: 'failed', error_code: 'INVALID_SPEC', error: 'this pod does not allow bypassPermissions' }
      const run = new OpenCodeRun(request, attempt, modelOf(request.model ?? options.defaultModel ?? 'sonnet'), limits)
      runs.set(attempt, run)
      return run.toEnd()
    },

    cancel: async (attempt) => runs.get(attempt)?.cancel(),
  }
}
