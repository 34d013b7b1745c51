// A cluster's desired resources: read when an agent says `hello` and at every change, told after every `welcome` and at every change, always
// whole. What the agent found is kept as it said it; nothing is concluded from it here.

import type { DesiredResources } from '@rdev/shared/domain/resource'
import type { HubUp } from '@rdev/shared/wire/hub-frames'
import { resourcesSinceProtocol } from '@rdev/shared/wire/version'
import { retryLater, type Draft } from './draft.ts'

const understands = (d: Draft): boolean => d.connection !== null && d.connection.protocol >= resourcesSinceProtocol

/**
 * For an agent that understands it; otherwise nobody needs them, and the next `hello` reads them. One read at a time: a change during a read
 * is read after it, since its answer may be older than the change.
 */
export function readDesired(d: Draft): void {
  if (!understands(d)) return
  if (d.readingDesired) {
    d.desiredWanted = true
    return
  }
  d.readingDesired = true
  d.desiredWanted = false
  d.effects.push({ type: 'read_desired' })
}

export function desiredRead(d: Draft, desired: DesiredResources): void {
  d.readingDesired = false
  if (d.desiredWanted) return readDesired(d)
  d.desired = desired
  tellDesired(d)
}

export function desiredReadFailed(d: Draft, random: number, now: number): void {
  d.readingDesired = false
  d.desiredWanted = true
  retryLater(d, random, now)
}

/** To a welcomed agent that understands it. Before that the welcome tells it. */
export function tellDesired(d: Draft): void {
  const { connection, desired, ready } = d
  if (!ready || connection === null || !understands(d) || desired === null) return
  const frame = { type: 'desired' as const, version: desired.version, resources: [...desired.resources] }
  d.effects.push({ type: 'send', connection: connection.id, frame })
}

export function observed(d: Draft, { version, resources }: Extract<HubUp, { type: 'observed' }>): void {
  d.observed = { version, resources }
}
