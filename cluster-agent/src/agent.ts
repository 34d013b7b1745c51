// Puts the agent together from its drivers, on the platform that it is given: Node's (compose.ts) or the simulator's.

import type { HubLink } from './link/hub-link.ts'
import { createHubLink } from './link/hub-link.ts'
import { ReconnectGroup } from './link/reconnect-group.ts'
import type { SocketPlatform } from './link/reconnecting-socket.ts'
import { lineOpener } from './link/task-line.ts'
import type { AgentRegistry, AttemptDirectories, Dial, HubReports, Log, PodHost, ResourceKind, Timers } from './ports.ts'
import { createResources } from './resources/resources.ts'
import { git, shell } from './runner/commands.ts'
import { createRunner } from './runner/runner.ts'
import { agentVersion } from './version.ts'

export interface Agent {
  start(): void
  /** Tells the hub, takes no more assignments, and lets the attempts go on or ends them. Resolves when the agent has nothing left to do. */
  stop(attempts: 'go on' | 'end'): Promise<void>
  /** Sends the hub another hello. */
  hello(): void
}

export interface AgentDeps {
  readonly url: string
  readonly clusterId: string
  readonly key: string
  /** Random per process, so that the hub knows a restarted agent. */
  readonly instance: string
  readonly host: Pick<PodHost, 'watch' | 'connect'>
  readonly directories: AttemptDirectories
  readonly agents: AgentRegistry
  readonly resourceKinds: readonly ResourceKind[]
  readonly timers: Timers
  readonly dial: Dial
  readonly log: Log
  /** See HubLinkOptions. */
  readonly partChars?: number | undefined
}

export function createAgent(deps: AgentDeps): Agent {
  const { url, clusterId, key, instance, host, directories, agents, resourceKinds, timers, dial, log, partChars } = deps
  const platform: SocketPlatform = { url, timers, dial, group: new ReconnectGroup() }
  // The runner reports to the link, and the link calls the runner, so one of them is assigned later.
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
    agents,
    commands: { shell, git },
    openLine: lineOpener(platform),
    hub,
    timers,
    log,
  })
  const resources = createResources({ kinds: resourceKinds, timers, log }, (observed) => link?.observed(observed))
  const owner = { ...runner, desired: resources.desired, lost: resources.lost }
  const hubLink = createHubLink(platform, { clusterId, key, version: agentVersion, instance, log, partChars }, owner)
  link = hubLink

  return {
    start: () => {
      // The link waits for the first inventory: a hello without pods would say that they are gone and their attempts lost.
      host.watch((pods) => {
        const { pods: told, unlisted } = runner.pods(pods)
        hubLink.pods(told, unlisted)
        hubLink.start()
      })
    },
    stop: async (attempts) => {
      hubLink.drain()
      resources.close()
      if (attempts === 'end') await runner.stopAll()
      else await runner.leave()
      hubLink.close()
    },
    hello: () => hubLink.hello(),
  }
}
