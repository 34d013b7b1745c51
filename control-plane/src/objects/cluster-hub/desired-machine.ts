// A cluster's desired resources. They are read at every `hello` and every change, and sent after every `welcome` and every change, always
// the whole set. What the agent observes is kept as it is; nothing is concluded from it here.

import type { Failure } from '@rdev/shared/domain/failure'
import type { DesiredResources } from '@rdev/shared/domain/resource'
import type { HubUp } from '@rdev/shared/wire/hub-frames'
import { resourcesSinceProtocol } from '@rdev/shared/wire/version'
import { retryLater, type Draft } from './draft.ts'

const understands = (d: Draft): boolean => d.connection !== null && d.connection.protocol >= resourcesSinceProtocol

/**
 * Reads the desired resources, if the connected agent understands `desired`; otherwise the next `hello` reads them. One read runs at a time:
 * a change during a read causes another read afterwards, because the first answer may be older than the change.
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

export function desiredReadFailed(d: Draft, why: Failure, random: number, now: number): void {
  d.readingDesired = false
  d.desiredWanted = true
  retryLater(d, why, random, now)
}

/**
 * Sends the desired set to a welcomed agent that understands it. Before the welcome nothing is sent: the welcome itself calls this. While the
 * connection's key is being judged the set waits for the answer.
 */
export function tellDesired(d: Draft): void {
  const { connection, desired, ready } = d
  if (!ready || connection === null || !understands(d) || desired === null) return
  if (connection.judging) {
    d.connection = { ...connection, desiredHeld: true }
    return
  }
  const frame = { type: 'desired' as const, version: desired.version, resources: [...desired.resources] }
  d.effects.push({ type: 'send', connection: connection.id, frame })
}

/** The key is valid: what waited is sent. */
export function tellHeld(d: Draft): void {
  if (d.connection?.desiredHeld !== true) return
  d.connection = { ...d.connection, desiredHeld: false }
  tellDesired(d)
}

export function observed(d: Draft, { version, resources }: Extract<HubUp, { type: 'observed' }>): void {
  d.observed = { version, resources }
}
