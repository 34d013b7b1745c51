// A cluster's hub as a pure machine. It promises: what the agent is told follows from rows and `hello` alone, so every frame may be
// repeated; a write is repeated until it is done; nothing is asked while nothing is live or queued (8; numbers are those of docs/faults.md). It claims nothing
// before it knows what already runs. Conclusions about attempts are in attempts-machine.ts.

import { freeSlots } from '@rdev/shared/domain/pod'
import { closeCodes } from '@rdev/shared/wire/limits'
import type { StepContext } from '@rdev/shared/domain/step'
import { bareOutcome, isBare } from '@rdev/shared/domain/task'
import type { HubUp } from '@rdev/shared/wire/hub-frames'
import { speaksProtocol } from '@rdev/shared/wire/version'
import { accepted, checkPods, endOverdue, giveUpAbsent, overdueAt, reconcile, orphans, rejected } from './attempts-machine.ts'
import {
  askHello,
  assign,
  claimId,
  done,
  forget,
  knowPods,
  nameOf,
  open,
  podOf,
  refOf,
  retryLater,
  startLoad,
  write,
  type Draft,
} from './draft.ts'
import { closeLines, hasKeyEnded, judgeKey, keyJudged, newThingsMs } from './key-machine.ts'
import { desiredRead, desiredReadFailed, observed, readDesired, tellDesired, tellHeld } from './desired-machine.ts'
import { joinParts } from './inventory-parts.ts'
import { foundMissingPods, podsToLookBeside } from './pods-machine.ts'
import { judgeKeyEveryMs, leaseMs, orphanMs, sweepEveryMs } from '@rdev/shared/domain/limits'
import {
  doneLimitMs,
  maxClaimSlots,
  maxEarlyFrames,
  netMs,
  refusedAgainMs,
  silentLimitMs,
  type Connection,
  type Dispatch,
  type HubInput,
  type HubState,
  type HubStep,
  type Live,
} from './state.ts'

/** `now` is wall time; `random` spreads repeated calls and returns to the queue. Never throws. */
export function stepHub(state: HubState, input: HubInput, { now, random }: StepContext): HubStep {
  const d = open(state)
  apply(d, input, random, now)
  // The alarm itself may have woken the object: setting an alarm now would cancel the call that is on its way.
  if (input.type !== 'woke') schedule(d, now)
  return done(d)
}

function apply(d: Draft, input: HubInput, random: number, now: number): void {
  if (input.type !== 'woke' && hasKeyEnded(d, now)) refuseKey(d, d.connection?.key.id ?? '', now)
  switch (input.type) {
    case 'woke':
      if (input.connection === null) return
      d.connection = { ...newConnection, ...input.connection, judgedAt: input.connection.since }
      return askHello(d)
    case 'connected':
      return connected(d, input, now)
    case 'frame':
      if (d.connection?.id === input.connection) frame(d, d.connection, input.frame, random, now)
      return
    case 'closed':
      if (d.connection?.id === input.connection) closed(d, now)
      return
    case 'poke':
      d.queued = true
      return d.connection === null ? startInspection(d, now) : tryClaim(d, now)
    case 'project_registered':
      return askHello(d)
    case 'key_revoked':
      return refuseKey(d, input.key_id, now)
    case 'key_judged':
      if (!keyJudged(d, input, now)) return refuseKey(d, d.connection?.key.id ?? '', now)
      return tellHeld(d)
    case 'resources_changed':
      judgeKey(d, now, newThingsMs)
      return readDesired(d)
    case 'desired_read':
      return desiredRead(d, input.desired)
    case 'desired_read_failed':
      return desiredReadFailed(d, input.why, random, now)
    case 'ended': {
      const entry = d.live.get(nameOf(input.ref))
      if (entry !== undefined) d.live.set(nameOf(input.ref), { ...entry, phase: 'done', done_at: now })
      return wantClaim(d, now)
    }
    case 'alarm':
      return alarm(d, input.silentMs, random, now)
    case 'loaded':
      return loaded(d, input, random, now)
    case 'load_failed':
      d.loading = null
      d.loadWanted = true
      return retryLater(d, input.why, random, now)
    case 'claimed':
      return claimed(d, input.claim_id, input.tasks, now)
    case 'claim_failed':
      return claimFailed(d, input, random, now)
    case 'queue_inspected':
      return queueInspected(d, input, now)
    case 'queue_inspection_failed':
      d.inspecting = false
      d.queued = true
      d.inspectAt = input.why === 'away' ? now + 1_000 + Math.floor(random * netMs) : now + refusedAgainMs
      return
    case 'written':
      return written(d, input, now)
    case 'write_failed':
      return writeFailed(d, input, random, now)
  }
}

const newConnection = { version: null, protocol: 0, hello: null, told: null, draining: false, judging: false, desiredHeld: false } as const

function connected(d: Draft, { connection: id, key }: Extract<HubInput, { type: 'connected' }>, now: number): void {
  if (d.connection !== null) {
    const reason = 'a newer connection took over'
    d.effects.push({ type: 'close', connection: d.connection.id, code: closeCodes.superseded, reason })
  }
  const epoch = d.durable.epoch + 1
  d.durable = { ...d.durable, epoch }
  d.connection = { ...newConnection, id, epoch, key, judgedAt: now }
  d.welcomedAt = null
  d.ready = false
  d.early = []
  d.observed = null
  d.orphanAt = null
  d.sweepAt = null
}

function closed(d: Draft, now: number): void {
  d.connection = null
  d.welcomedAt = null
  d.ready = false
  d.early = []
  if (d.live.size > 0) d.orphanAt = now + leaseMs + orphanMs
  if (d.queued) startInspection(d, now)
}

/** The key is not valid any more: its socket closes, and the lines that were opened with it. */
function refuseKey(d: Draft, keyId: string, now: number): void {
  closeLines(d, keyId)
  if (d.connection?.key.id === keyId) hangUp(d, d.connection, closeCodes.unauthorized, 'its key is not valid any more', now)
}

function frame(d: Draft, { id }: Connection, up: HubUp, random: number, now: number): void {
  // After `hello` comes what the agent did not know before.
  judgeKey(d, now, up.type === 'hello' ? newThingsMs : judgeKeyEveryMs)
  if (d.connection?.id !== id) return
  if (up.type !== 'hello' && up.type !== 'pods') return take(d, d.connection, up, random, now)
  const joined = joinParts(d.connection.told, up)
  if (joined === 'refused') return hangUp(d, d.connection, closeCodes.malformed, 'an inventory whose parts do not fit', now)
  const connection = { ...d.connection, told: joined.told }
  d.connection = connection
  if (joined.whole !== null) take(d, connection, joined.whole, random, now)
}

/** A frame of which no part is missing. */
function take(d: Draft, connection: Connection, up: HubUp, random: number, now: number): void {
  switch (up.type) {
    case 'hello':
      return hello(d, connection, up, now)
    case 'heartbeat':
      d.effects.push({ type: 'send', connection: connection.id, frame: { type: 'alive', server_time: now } })
      return
    case 'drain':
      d.connection = { ...connection, draining: true }
      return
    case 'observed':
      return observed(d, up)
    default:
      if (d.ready) return report(d, connection, up, random, now)
      if (d.early.length < maxEarlyFrames) {
        d.early = [...d.early, up]
        return
      }
      return hangUp(d, connection, closeCodes.tryAgain, 'too much before welcome', now)
  }
}

function hello(d: Draft, connection: Connection, up: Extract<HubUp, { type: 'hello' }>, now: number): void {
  if (!speaksProtocol(up.protocol)) {
    return hangUp(d, connection, closeCodes.unsupportedProtocol, 'this protocol version is not supported', now)
  }
  d.connection = { ...connection, version: up.agent_version, protocol: up.protocol, hello: up.attempts }
  knowPods(d, up.pods, now)
  d.ready = false
  write(d, { kind: 'report', key_id: connection.key.id, pods: d.pods })
  startLoad(d)
  readDesired(d)
}

/** A frame about attempts and pods. Called only when the hub knows the rows. */
function report(d: Draft, connection: Connection, up: HubUp, random: number, now: number): void {
  switch (up.type) {
    case 'accepted':
      return accepted(d, connection, up, now)
    case 'rejected':
      return rejected(d, up, random, now)
    case 'finished':
      for (const ref of up.attempts) forget(d, ref)
      return wantClaim(d, now)
    case 'pods':
      knowPods(d, up.pods, now)
      write(d, { kind: 'report', key_id: connection.key.id, pods: d.pods })
      checkPods(d, random, now)
      return wantClaim(d, now)
  }
}

function hangUp(d: Draft, connection: Connection, code: number, reason: string, now: number): void {
  d.effects.push({ type: 'close', connection: connection.id, code, reason })
  closed(d, now)
}

function loaded(d: Draft, { generation, live: rows }: Extract<HubInput, { type: 'loaded' }>, random: number, now: number): void {
  const began = d.loading ?? d.counter
  d.loading = null
  if (generation > d.durable.generation) {
    // The database has a later generation than this memory, and only claims of the newest one lease anything: begin one above it.
    d.durable = { ...d.durable, generation }
    return startLoad(d)
  }
  // A `hello` came while the rows were read: the rows may be older than it, so read them again.
  if (d.loadWanted) return startLoad(d)
  d.rowsKnown = true
  const { connection } = d
  if (connection === null) return orphans(d, rows, now)
  if (connection.hello === null) return
  reconcile(d, connection, rows, began, random, now)
  d.ready = true
  d.welcomedAt ??= now
  tellDesired(d)
  // An object that sleeps between its alarms may reach no sweep in time, so leases are renewed here too.
  renew(
    d,
    [...d.live.values()].filter(({ task }) => (task.lease_until ?? 0) - now < leaseMs - sweepEveryMs / 2),
  )
  const { early } = d
  d.early = []
  for (const up of early) report(d, connection, up, random, now)
  d.queued = true
  tryClaim(d, now)
}

/** Claims, if something may be queued. */
function wantClaim(d: Draft, now: number): void {
  if (d.inspecting) d.claimAgain = true
  else if (d.queued) tryClaim(d, now)
}

function tryClaim(d: Draft, now: number): void {
  if (!d.ready || d.connection === null || d.connection.draining) return
  if (d.claim !== null) {
    d.claimAgain = true
    return
  }
  d.claimAgain = false
  const slots = freeSlotsOfPods(d)
  if (slots.length === 0) {
    d.inspectAt = Math.min(d.inspectAt ?? now + netMs, now + netMs)
    return
  }
  d.claim = { claim_id: claimId(d), key_id: d.connection.key.id, slots, busy: true, over: [] }
  askClaim(d, d.claim)
}

/** The number rises with every claim, and a claim voids those with a lower number: a late one leases nothing after a newer one has run. */
function askClaim(d: Draft, { claim_id, key_id, slots }: NonNullable<Draft['claim']>): void {
  d.effects.push({ type: 'claim', claim_id, key_id, slots, generation: d.durable.generation, number: ++d.counter })
}

type FreeSlot = NonNullable<Draft['claim']>['slots'][number]

function freeSlotsOfPods(d: Draft): FreeSlot[] {
  const running = new Map<string, number>()
  for (const { task } of d.live.values()) running.set(task.pod ?? '', (running.get(task.pod ?? '') ?? 0) + 1)
  const slots: FreeSlot[] = []
  for (const pod of d.pods) {
    const project_id = pod.role === 'project' ? pod.project_id : null
    if (pod.role === 'project' && project_id === null) continue
    for (let free = freeSlots(pod, running.get(pod.name) ?? 0); free > 0 && slots.length < maxClaimSlots; free--) {
      slots.push({ pod: pod.name, pod_uid: pod.uid, project_id })
    }
  }
  return slots
}

function claimed(d: Draft, claimId: string, tasks: readonly Dispatch[], now: number): void {
  const asked = d.claim?.claim_id === claimId ? d.claim.slots.length : Infinity
  const over = new Set(d.claim?.over)
  if (d.claim?.claim_id === claimId) d.claim = null
  const sentOn = d.ready ? (d.connection?.id ?? null) : null
  const fresh: Live[] = []
  for (const dispatch of tasks) {
    const name = nameOf(refOf(dispatch))
    if (d.live.has(name) || over.has(name)) continue
    const uid = dispatch.task.pod_uid
    const facts = { phase: 'assigned', uid, connection: sentOn, started: false, resent: false, absentAt: null, done_at: null } as const
    const entry: Live = { ...dispatch, ...facts, added: ++d.counter, overdueAt: overdueAt(dispatch.task, now) }
    d.live.set(name, entry)
    fresh.push(entry)
  }
  // Without a welcomed agent the new entries wait for the next `hello`, which decides about them.
  if (sentOn !== null) assign(d, fresh)
  else if (d.connection === null && fresh.length > 0) d.orphanAt ??= now + leaseMs + orphanMs
  if (fresh.length > 0) d.effects.push({ type: 'sync_logs', tasks: fresh.map(({ task }) => task) })
  if (d.claimAgain || tasks.length >= asked) tryClaim(d, now)
  else startInspection(d, now)
}

function claimFailed(d: Draft, { claim_id, why }: Extract<HubInput, { type: 'claim_failed' }>, random: number, now: number): void {
  if (d.claim?.claim_id !== claim_id) return
  if (why === 'away') d.claim = { ...d.claim, busy: false }
  else {
    // Repeating it is of no use. An earlier try may have leased something before its answer was lost, so the rows are read before the next.
    d.claim = null
    d.claimAgain = false
    d.loadWanted = true
  }
  retryLater(d, why, random, now)
}

function startInspection(d: Draft, now: number): void {
  if (d.inspecting) return
  d.inspecting = true
  d.inspectAt = null
  // A poke while the answer is on its way sets it again.
  d.queued = false
  d.effects.push({ type: 'inspect_queue', pods: podsToLookBeside(d, now) })
}

function queueInspected(d: Draft, found: Extract<HubInput, { type: 'queue_inspected' }>, now: number): void {
  d.inspecting = false
  d.queued = d.queued || found.queued
  foundMissingPods(d, found.missing, now)
  if (found.expired.length > 0) d.effects.push({ type: 'sync_logs', tasks: found.expired })
  if (!d.queued) {
    d.claimAgain = false
    return
  }
  const net = d.connection === null ? null : now + netMs
  d.inspectAt = found.next_at === null ? net : Math.min(found.next_at, net ?? found.next_at)
  if (d.claimAgain) tryClaim(d, now)
}

function written(d: Draft, { id, tasks }: Extract<HubInput, { type: 'written' }>, now: number): void {
  const what = d.writes.get(id)?.write
  d.writes.delete(id)
  // The write was void because a later generation had begun before it ran. Repeat it under the new generation.
  if ((what?.kind === 'requeue' || what?.kind === 'fail') && tasks.length === 0 && what.generation !== d.durable.generation) {
    return write(d, { ...what, generation: d.durable.generation })
  }
  switch (what?.kind) {
    case 'end':
    case 'fail':
      forget(d, { task_id: what.task.id, attempt: what.task.attempt })
      if (tasks.length > 0) d.effects.push({ type: 'sync_logs', tasks })
      return wantClaim(d, now)
    case 'requeue':
      forget(d, what.ref)
      if (tasks.length > 0) d.effects.push({ type: 'sync_logs', tasks })
      for (const task of tasks) if (task.cancel_requested_at !== null) write(d, { kind: 'cancel_queued', task_id: task.id })
      d.queued = true
      d.inspectAt = Math.min(d.inspectAt ?? what.run_after, what.run_after)
      return wantClaim(d, now)
    case 'fail_missing_pods':
      if (tasks.length === 0) return
      d.effects.push({ type: 'sync_logs', tasks })
      // Tasks that waited behind the failed ones may run now, or their pod is missing too: look again.
      d.missingPodsAt = null
      d.queued = true
      return wantClaim(d, now)
  }
}

/**
 * What may not be lost is repeated; what will be said anew is dropped when it was refused, so that nothing of it outlives the socket that it came
 * from: the next inventory is another report, and the next `hello` tells again what has started.
 */
function writeFailed(d: Draft, { id, why }: Extract<HubInput, { type: 'write_failed' }>, random: number, now: number): void {
  const pending = d.writes.get(id)
  if (pending === undefined) return
  const { write: what } = pending
  switch (what.kind) {
    case 'fail_missing_pods':
      return void d.writes.delete(id)
    case 'report':
    case 'mark_started':
    case 'cancel_queued':
      if (why !== 'away') return void d.writes.delete(id)
      break
    case 'fail':
      if (why === 'data' && !isBare(what.outcome)) {
        d.writes.delete(id)
        return write(d, { ...what, outcome: bareOutcome(what.outcome) })
      }
      break
    default:
  }
  d.writes.set(id, { write: what, busy: false })
  retryLater(d, why, random, now)
}

function alarm(d: Draft, silentMs: number | null, random: number, now: number): void {
  d.alarmAt = null
  if (d.retryAt !== null && d.retryAt <= now) tryAgain(d)
  if (d.connection === null) {
    // An earlier life of the object set this alarm: only the rows tell what it was for.
    if (!d.rowsKnown || (d.orphanAt !== null && d.orphanAt <= now)) startLoad(d)
    if (!d.rowsKnown || (d.inspectAt !== null && d.inspectAt <= now)) startInspection(d, now)
    return
  }
  if (silentMs !== null && silentMs > silentLimitMs) hangUp(d, d.connection, closeCodes.tryAgain, 'silent for too long', now)
  else if (d.sweepAt !== null && d.sweepAt <= now) sweep(d, d.connection, random, now)
  if (d.connection !== null && d.inspectAt !== null && d.inspectAt <= now) {
    d.inspectAt = null
    judgeKey(d, now)
    if (d.ready && !d.connection.draining && freeSlotsOfPods(d).length > 0) tryClaim(d, now)
    else startInspection(d, now)
  }
}

function tryAgain(d: Draft): void {
  d.retryAt = null
  if (d.loadWanted && d.loading === null) startLoad(d)
  if (d.desiredWanted && !d.readingDesired) readDesired(d)
  if (d.claim !== null && !d.claim.busy) {
    // Repeat with the same id: if the answer was lost after the commit, this returns what was leased then.
    d.claim = { ...d.claim, busy: true }
    askClaim(d, d.claim)
  }
  for (const [id, { write, busy }] of d.writes) {
    if (busy) continue
    d.writes.set(id, { write, busy: true })
    d.effects.push({ type: 'write', id, write })
  }
}

function sweep(d: Draft, connection: Connection, random: number, now: number): void {
  d.sweepAt = null
  if (connection.hello === null) return hangUp(d, connection, closeCodes.tryAgain, 'no hello', now)
  judgeKey(d, now)
  giveUpAbsent(d, random, now)
  endOverdue(d, now)
  renew(d, [...d.live.values()])
  const overdue = ({ phase, task, done_at }: Live) =>
    (done_at !== null && now - done_at > doneLimitMs) || (phase === 'unknown' && podOf(d, task.pod)?.ready === true)
  if ([...d.live.values()].some(overdue)) askHello(d)
}

function renew(d: Draft, entries: readonly Live[]): void {
  const refs = entries.filter(({ phase }) => phase !== 'done').map(refOf)
  if (refs.length > 0) d.effects.push({ type: 'renew', refs })
}

/** One alarm serves all times. It is only ever moved to an earlier time: waking early costs less than another write. */
function schedule(d: Draft, now: number): void {
  const watched = d.connection !== null && (d.live.size > 0 || d.connection.hello === null)
  d.sweepAt = watched ? (d.sweepAt ?? now + sweepEveryMs) : null
  if (d.connection !== null) d.orphanAt = null
  const inFlight =
    d.loading !== null || d.readingDesired || d.inspecting || d.claim?.busy === true || [...d.writes.values()].some(({ busy }) => busy)
  const times = [d.retryAt, d.sweepAt, d.inspectAt, d.orphanAt, inFlight ? now + netMs : null].filter((at) => at !== null)
  const at = times.length === 0 ? null : Math.min(...times)
  if (at === d.alarmAt || (at !== null && d.alarmAt !== null && d.alarmAt > now && d.alarmAt <= at)) return
  d.alarmAt = at
  d.effects.push({ type: 'alarm', at })
}
