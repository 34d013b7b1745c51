// The thin shell of link-machine.ts: the agent's one control socket to its cluster's hub.

import { performance } from 'node:perf_hooks'
import type { Assignment, AttemptPresence } from '@rdev/shared/domain/attempt'
import type { Pod } from '@rdev/shared/domain/pod'
import { decodeFrame, encodeFrame } from '@rdev/shared/wire/codec'
import { hubDownSchema } from '@rdev/shared/wire/hub-frames'
import { closeCodes } from '@rdev/shared/wire/limits'
import type { AttemptRef } from '@rdev/shared/wire/parts'
import { protocolHeader, protocolVersion } from '@rdev/shared/wire/version'
import type { HubReports, Log } from '../ports.ts'
import { Connection, socketUrl } from './connection.ts'
import type { LinkEffect, LinkInput, LinkState } from './link-machine.ts'
import { heartbeatEveryMs, newLink, stepLink } from './link-machine.ts'
import type { ReconnectGroup } from './reconnect-group.ts'

/** Whom the link speaks for. */
export interface HubLinkOwner {
  /** What is here now. Pods whose attempts could not be listed are left out: of those the hub must conclude nothing. */
  gather(): Promise<{ pods: readonly Pod[]; attempts: readonly AttemptPresence[] }>
  welcome(adopt: readonly Assignment[], stop: readonly AttemptRef[]): void
  assign(tasks: readonly Assignment[]): void
  /** Attempts that live here, for the heartbeat. */
  live(): readonly AttemptRef[]
}

export interface HubLinkOptions {
  readonly url: string
  readonly clusterId: string
  readonly key: string
  readonly version: string
  /** Random per process: a restarted agent is a new one. */
  readonly instance: string
  readonly group: ReconnectGroup
  readonly log: Log
}

export interface HubLink extends HubReports {
  /** Once; repeating it does nothing. */
  start(): void
  pods(pods: readonly Pod[], unlisted: boolean): void
  drain(): void
  close(): void
}

export function createHubLink(options: HubLinkOptions, owner: HubLinkOwner): HubLink {
  let state: LinkState = newLink
  let helloTimer: NodeJS.Timeout | undefined
  let heartbeatTimer: NodeJS.Timeout | undefined

  const connection = new Connection({
    url: socketUrl(options.url, `/v1/clusters/${encodeURIComponent(options.clusterId)}/connect`),
    bearer: () => options.key,
    // Also in hello; here it is read before this connection takes the place of another agent's.
    headers: { [protocolHeader]: String(protocolVersion) },
    group: options.group,
    spreadMs: 0,
    up: () => {
      step({ type: 'opened' })
      heartbeatTimer = setInterval(() => {
        const attempts = owner.live()
        if (attempts.length > 0) step({ type: 'heartbeat', attempts, wallMs: Date.now() })
      }, heartbeatEveryMs)
    },
    down: (code, retryInMs) => {
      clearInterval(heartbeatTimer)
      clearTimeout(helloTimer)
      step({ type: 'lost' })
      // Another agent may be there by now, and coming back would throw it out.
      if (state.draining) return connection.park()
      if (code === closeCodes.unsupportedProtocol) {
        const fields = { protocol: protocolVersion, agent_version: options.version, retry_in_ms: retryInMs }
        return options.log('error', 'the control plane does not speak the protocol of this agent: install the agent of its release', fields)
      }
      const refused = code === closeCodes.unauthorized || code === closeCodes.stale
      options.log(refused ? 'error' : 'warn', 'agent disconnected', { code, retry_in_ms: retryInMs })
    },
    frame: (text) => {
      const decoded = decodeFrame(hubDownSchema, text)
      if (decoded.ok) step({ type: 'frame', frame: decoded.frame })
      else if (decoded.reason !== 'unknown_type') connection.drop(closeCodes.malformed, `frame is ${decoded.reason}`)
    },
  })

  async function gather(gathering: number): Promise<void> {
    const found = await owner.gather()
    step({
      type: 'gathered',
      gathering,
      ...found,
      about: { version: options.version, instance: options.instance, wallMs: Date.now() },
    })
  }

  function step(input: LinkInput): void {
    const next = stepLink(state, input, performance.now())
    state = next.state
    for (const effect of next.effects) perform(effect)
  }

  function perform(effect: LinkEffect): void {
    switch (effect.type) {
      case 'send':
        return connection.send(encodeFrame(effect.frame))
      case 'gather':
        void gather(effect.gathering)
        return
      case 'hello_timer':
        clearTimeout(helloTimer)
        helloTimer = setTimeout(() => step({ type: 'hello_due' }), effect.inMs)
        return
      case 'confirmed':
        return connection.confirmed()
      case 'welcome':
        options.log('info', 'agent connected', { epoch: effect.epoch, adopt: effect.adopt.length, stop: effect.stop.length })
        return owner.welcome(effect.adopt, effect.stop)
      case 'assign':
        return owner.assign(effect.tasks)
    }
  }

  let begun = false
  return {
    start: () => {
      if (begun) return
      begun = true
      connection.dial()
    },
    pods: (pods, unlisted) => step({ type: 'pods', pods, unlisted }),
    accepted: (ref, startedAt) => step({ type: 'accepted', ref, startedAt }),
    rejected: (ref, reason, detail) => step({ type: 'rejected', ref, reason, detail }),
    finished: (ref) => step({ type: 'finished', ref }),
    hello: () => step({ type: 'hello' }),
    drain: () => step({ type: 'drain' }),
    close: () => {
      clearInterval(heartbeatTimer)
      clearTimeout(helloTimer)
      connection.stop()
    },
  }
}
