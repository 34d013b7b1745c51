// The driver of hub-link-machine.ts: the agent's one control socket to its cluster's hub.

import type { Assignment, AttemptPresence, AttemptRef } from '@rdev/shared/domain/attempt'
import type { Pod } from '@rdev/shared/domain/pod'
import type { DesiredResources, ObservedResources } from '@rdev/shared/domain/resource'
import { decodeFrame, encodeFrame } from '@rdev/shared/wire/codec'
import type { HubDown } from '@rdev/shared/wire/hub-frames'
import { hubDownSchema } from '@rdev/shared/wire/hub-frames'
import { closeCodes } from '@rdev/shared/wire/limits'
import { protocolHeader, protocolVersion } from '@rdev/shared/wire/version'
import { drive, NamedTimers } from '../drive.ts'
import type { HubReports, Log } from '../ports.ts'
import type { LinkEffect } from './hub-link-machine.ts'
import { heartbeatEveryMs, newLink, stepLink } from './hub-link-machine.ts'
import type { SocketPlatform } from './reconnecting-socket.ts'
import { ReconnectingSocket } from './reconnecting-socket.ts'

/** What the link asks and tells: the runner and the resources. */
export interface HubLinkOwner {
  /** The pods, and the attempts in them. A pod whose attempts could not be listed is in it as not ready: the hub concludes nothing of it. */
  gather(): Promise<{ pods: readonly Pod[]; attempts: readonly AttemptPresence[] }>
  welcome(adopt: readonly Assignment[], stop: readonly AttemptRef[]): void
  assign(tasks: readonly Assignment[]): void
  /** All that the cluster should have; repeated after every welcome. */
  desired(desired: DesiredResources): void
  /** The connection: another agent may take this one's place. */
  lost(): void
  /** Attempts that live here, for the heartbeat. */
  live(): readonly AttemptRef[]
}

export interface HubLinkOptions {
  readonly clusterId: string
  readonly key: string
  readonly version: string
  /** Random per process, so that the hub knows a restarted agent. */
  readonly instance: string
  readonly log: Log
  /** Characters of a part of a frame, instead of those that ship. */
  readonly partChars?: number | undefined
}

export interface HubLink extends HubReports {
  /** Dials. A second call does nothing. */
  start(): void
  pods(pods: readonly Pod[], unlisted: boolean): void
  observed(observed: ObservedResources): void
  drain(): void
  close(): void
}

export function createHubLink(platform: SocketPlatform, options: HubLinkOptions, owner: HubLinkOwner): HubLink {
  const { timers } = platform
  const named = new NamedTimers<'hello' | 'heartbeat'>(timers)
  const { version, instance, log } = options
  const machine = drive(timers, stepLink, { ...newLink, partChars: options.partChars ?? newLink.partChars }, perform)
  const { step } = machine

  const socket = new ReconnectingSocket<HubDown>(platform, {
    path: `/v1/clusters/${encodeURIComponent(options.clusterId)}/connect`,
    bearer: () => options.key,
    // `hello` has it too. In the header it is read before this connection supersedes another agent's.
    headers: { [protocolHeader]: String(protocolVersion) },
    spreadMs: 0,
    decode: (text) => decodeFrame(hubDownSchema, text),
    up: () => {
      step({ type: 'opened' })
      named.repeat('heartbeat', heartbeatEveryMs, () => {
        const attempts = owner.live()
        if (attempts.length > 0) step({ type: 'heartbeat', attempts, wallMs: timers.wall() })
      })
    },
    down: (code, retryInMs) => {
      named.cancelAll()
      step({ type: 'lost' })
      owner.lost()
      // Another agent may be there by now, and coming back would throw it out.
      if (machine.state.draining) return socket.park()
      if (code === closeCodes.unsupportedProtocol) {
        const fields = { protocol: protocolVersion, agent_version: version, retry_in_ms: retryInMs }
        return log('error', 'the control plane does not speak the protocol of this agent: install the agent of its release', fields)
      }
      const refused = code === closeCodes.unauthorized || code === closeCodes.stale
      log(refused ? 'error' : 'warn', 'agent disconnected', { code, retry_in_ms: retryInMs })
    },
    frame: (frame) => step({ type: 'frame', frame }),
  })

  async function gather(gathering: number): Promise<void> {
    const found = await owner.gather()
    step({ type: 'gathered', gathering, ...found, about: { version, instance, wallMs: timers.wall() } })
  }

  function perform(effect: LinkEffect): void {
    switch (effect.type) {
      case 'send':
        return socket.send(encodeFrame(effect.frame))
      case 'gather':
        return void gather(effect.gathering)
      case 'hello_timer':
        return named.set('hello', effect.inMs, () => step({ type: 'hello_due' }))
      case 'confirmed':
        return socket.confirmed()
      case 'welcome':
        log('info', 'agent connected', { epoch: effect.epoch, adopt: effect.adopt.length, stop: effect.stop.length })
        return owner.welcome(effect.adopt, effect.stop)
      case 'assign':
        return owner.assign(effect.tasks)
      case 'desired':
        return owner.desired(effect.desired)
    }
  }

  let begun = false
  return {
    start: () => {
      if (begun) return
      begun = true
      socket.dial()
    },
    pods: (pods, unlisted) => step({ type: 'pods', pods, unlisted }),
    accepted: (ref, startedAt) => step({ type: 'accepted', ref, startedAt }),
    rejected: (ref, reason, detail) => step({ type: 'rejected', ref, reason, detail }),
    finished: (ref) => step({ type: 'finished', ref }),
    observed: (observed) => step({ type: 'observed', observed }),
    hello: () => step({ type: 'hello' }),
    drain: () => step({ type: 'drain' }),
    close: () => {
      named.cancelAll()
      socket.stop()
    },
  }
}
