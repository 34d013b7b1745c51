import type { AgentProvider } from '@rdev/shared/domain/code-agent'
import type { AgentRegistry, CodeAgent } from '../ports.ts'

/** The first is the default. Throws if two are for the same provider. */
export function createRegistry(agents: readonly [CodeAgent, ...CodeAgent[]]): AgentRegistry {
  const byProvider = new Map<AgentProvider, CodeAgent>()
  for (const agent of agents) {
    if (byProvider.has(agent.provider)) throw new Error(`there are two code agents for ${agent.provider}`)
    byProvider.set(agent.provider, agent)
  }
  return {
    default: agents[0],
    all: [...agents],
    get: (provider) => (provider === null ? agents[0] : byProvider.get(provider)),
  }
}
