// One plain function that puts the agent together.

import { randomBytes } from 'node:crypto'
import { createClaudeCode } from './agents/claude-code/claude-code.ts'
import { git } from './runner/commands/git.ts'
import { createOpenCode } from './agents/opencode/opencode.ts'
import { createRegistry } from './agents/registry.ts'
import { shell } from './runner/commands/shell.ts'
import type { Config } from './config.ts'
import type { HubLink } from './link/hub-link.ts'
import { createHubLink } from './link/hub-link.ts'
import { ReconnectGroup } from './link/reconnect-group.ts'
import { lineOpener } from './link/task-line.ts'
import { createAttemptDirectories } from './pods/attempt-directories.ts'
import { createKubernetesHost } from './pods/kubernetes/host.ts'
import { createLocalHost } from './pods/local/host.ts'
import type { AttemptDirectories, Clock, CodeAgent, HubReports, Log, PodHost } from './ports.ts'
import { createRunner } from './runner/runner.ts'
import { agentVersion } from './version.ts'

export interface Agent {
  start(): void
  /** Tells the hub, takes nothing more, and lets what runs go on (or ends it, if so configured). */
  stop(): Promise<void>
}

export interface ComposeOptions {
  readonly log: Log
  readonly clock: Clock
  /** Instead of the real ones; the first is the default. */
  readonly agents?: (run: AttemptDirectories['run']) => readonly [CodeAgent, ...CodeAgent[]]
}

export function compose(config: Config, { log, clock, agents = realAgents }: ComposeOptions): Agent {
  const host = createHost(config, log)
  const directories = createAttemptDirectories(host, log)
  const group = new ReconnectGroup()
  // The runner speaks to the link, and the link for the runner.
  let link: HubLink | undefined
  const hub: HubReports = {
    accepted: (ref, startedAt) => link?.accepted(ref, startedAt),
    rejected: (ref, reason, detail) => link?.rejected(ref, reason, detail),
    finished: (ref) => link?.finished(ref),
    hello: () => link?.hello(),
  }
  const runner = createRunner({
    directories,
    host,
    agents: createRegistry(agents(directories.run)),
    commands: { shell, git },
    openLine: lineOpener(config.url, group),
    hub,
    clock,
    log,
  })
  link = createHubLink(
    {
      url: config.url,
      clusterId: config.clusterId,
      key: config.clusterKey,
      version: agentVersion,
      instance: randomBytes(12).toString('hex'),
      group,
      log,
    },
    runner,
  )
  const hubLink = link
  let stopping: Promise<void> | undefined

  async function stop(): Promise<void> {
    hubLink.drain()
    if (config.stopAttemptsOnExit) await runner.stopAll()
    else await runner.leave()
    hubLink.close()
    await directories.close()
    await host.close()
  }

  return {
    start: () => {
      // Nothing is said before the first inventory: a hello without pods says that they are gone, and what runs in them lost.
      host.watch((pods) => {
        const { pods: told, unlisted } = runner.pods(pods)
        hubLink.pods(told, unlisted)
        hubLink.start()
      })
    },
    stop: () => (stopping ??= stop()),
  }
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
