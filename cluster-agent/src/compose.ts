// One plain function that puts the agent together on Node's platform.

import { randomBytes } from 'node:crypto'
import { createAgent } from './agent.ts'
import { createClaudeCode } from './agents/claude-code/claude-code.ts'
import { createOpenCode } from './agents/opencode/opencode.ts'
import { createRegistry } from './agents/registry.ts'
import type { Config } from './config.ts'
import { dialWebSocket } from './link/web-socket.ts'
import { nodeTimers } from './node-timers.ts'
import { createAttemptDirectories } from './pods/attempt-directories.ts'
import { createKubernetesHost } from './pods/kubernetes/host.ts'
import { createLocalHost } from './pods/local/host.ts'
import type { AttemptDirectories, CodeAgent, Log, PodHost } from './ports.ts'

export interface AgentProgram {
  start(): void
  /** Tells the hub, takes no more assignments, and lets the attempts go on (or ends them, if so configured). */
  stop(): Promise<void>
}

export interface ComposeOptions {
  readonly log: Log
  /** Code agents instead of the real ones; the first is the default. */
  readonly agents?: (run: AttemptDirectories['run']) => readonly [CodeAgent, ...CodeAgent[]]
}

export function compose(config: Config, { log, agents = realAgents }: ComposeOptions): AgentProgram {
  const host = createHost(config, log)
  const directories = createAttemptDirectories(host, log)
  const agent = createAgent({
    url: config.url,
    clusterId: config.clusterId,
    key: config.clusterKey,
    instance: randomBytes(12).toString('hex'),
    host,
    directories,
    agents: createRegistry(agents(directories.run)),
    // No kind exists yet.
    resourceKinds: [],
    timers: nodeTimers,
    dial: dialWebSocket,
    log,
  })
  let stopping: Promise<void> | undefined

  async function stop(): Promise<void> {
    await agent.stop(config.stopAttemptsOnExit ? 'end' : 'go on')
    await directories.close()
    await host.close()
  }

  return { start: () => agent.start(), stop: () => (stopping ??= stop()) }
}

function createHost(config: Config, log: Log): PodHost {
  const { pods } = config
  if (pods.host === 'kubernetes') return createKubernetesHost({ namespace: pods.namespace, log })
  const list = pods.list.map((pod) => ({ ...pod, env: { RDEV_ORPHAN_TTL_S: String(config.orphanTtlS), ...pod.env } }))
  return createLocalHost({ pods: list, path: pods.path })
}

const realAgents = (run: AttemptDirectories['run']): readonly [CodeAgent, ...CodeAgent[]] => [
  createClaudeCode({ run }),
  createOpenCode({ run }),
]
