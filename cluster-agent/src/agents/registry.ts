import type { AgentProvider } from '@rdev/shared/domain/code-agent'
import type { AgentRegistry, CodeAgent } from '../ports.ts'

/** The first registered is the default. */
export function createRegistry(agents: readonly [CodeAgent, ...CodeAgent[]]): AgentRegistry {
  const byProvider = new Map<AgentProvider, CodeAgent>()
  for (const agent of agents) {
    if (byProvider.has(agent.provider)) throw new Error(`two code agents say that they are ${agent.provider}`)
    byProvider.set(agent.provider, agent)
  }
  return {
    default: agents[0],
    all: [...agents],
    get: (provider) => (provider === null ? agents[0] : byProvider.get(provider)),
  }
}
