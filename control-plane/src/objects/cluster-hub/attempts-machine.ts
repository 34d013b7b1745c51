// What the hub concludes about attempts from the rows and from the agent's `hello`. Only this file gives an attempt back to the queue or
// ends it as lost; each such line names its proof (docs/faults.md).

import { fullJitter } from '@rdev/shared/domain/backoff'
import type { RejectReason } from '@rdev/shared/domain/attempt'
import type { TaskErrorCode } from '@rdev/shared/domain/errors'
import { outcome } from '@rdev/shared/domain/task'
import type { Task } from '@rdev/shared/domain/task'
import type { HubUp } from '@rdev/shared/wire/hub-frames'
import { askHello, assign, endAttempt, inParts, nameOf, podOf, refOf, write, type Draft } from './draft.ts'
import { hubCeilingMs, orphanMs } from '@rdev/shared/domain/limits'
import { maxFailedDispatches, maxStops, podAbsentMs, type Connection, type Dispatch, type Live } from './state.ts'

type Frame<Type extends HubUp['type']> = Extract<HubUp, { type: Type }>

const lost = (error: string) => outcome('lost', { error_code: 'LOST', error })

/**
 * Compares the rows with `hello`, and tells the agent what it should run (`welcome`). Entries whose `added` is at least `began` were claimed
 * after the rows were read, so they are kept although no row names them.
 */
export function reconcile(d: Draft, connection: Connection, rows: readonly Dispatch[], began: number, random: number, now: number): void {
  const hello = connection.hello ?? []
  const here = new Map(hello.map((presence) => [nameOf(presence), presence]))
  const saidGone = new Set(d.early.flatMap((frame) => (frame.type === 'finished' ? frame.attempts.map(nameOf) : [])))
  const before = d.live
  const known = new Set<string>()
  d.live = new Map()
  const adopt: Live[] = []
  const again: Live[] = []
  const started: { task_id: string; attempt: number; started_at: number }[] = []

  for (const row of rows) {
    const { task } = row
    const name = nameOf(refOf(row))
    const memory = before.get(name)
    const pod = podOf(d, task.pod)
    // A row that was leased before the column `pod_uid` existed has none: memory knows the pod then.
    const leasedTo = task.pod_uid ?? memory?.uid ?? null
    known.add(name)
    const entry: Live = {
      ...row,
      phase: 'assigned',
      uid: pod?.uid ?? memory?.uid ?? null,
      connection: connection.id,
      started: task.status === 'running' || memory?.started === true,
      resent: memory === undefined || memory.resent || memory.connection !== null,
      absentAt: null,
      added: memory?.added ?? ++d.counter,
      overdueAt: memory?.overdueAt ?? overdueAt(task, now),
      done_at: null,
    }
    if (saidGone.has(name)) continue
    if (memory?.phase === 'leaving') {
      d.live.set(name, memory)
    } else if (here.has(name)) {
      const running: Live = { ...entry, phase: 'running', started: true }
      d.live.set(name, running)
      adopt.push(running)
      if (task.status === 'leased') started.push({ ...refOf(row), started_at: now })
    } else if (memory?.connection === connection.id && (memory.phase === 'assigned' || memory.phase === 'done')) {
      // It was sent on this connection, and this `hello` may have been written before it arrived, so its absence proves nothing. Frames
      // arrive in order, so an attempt that was confirmed on this connection would be in `hello`.
      const kept: Live = { ...entry, phase: memory.phase, uid: memory.uid, resent: memory.resent, done_at: memory.done_at }
      d.live.set(name, kept)
      if (memory.phase === 'assigned') again.push(kept)
    } else if (pod !== undefined && !pod.ready) {
      // The agent could not list the pod's directories, so the absence proves nothing. When the pod is ready, the hub asks for `hello`.
      d.live.set(name, { ...entry, phase: 'unknown', uid: memory?.uid ?? pod.uid })
    } else if (pod === undefined) {
      d.live.set(name, { ...entry, phase: 'unknown', absentAt: memory?.absentAt ?? now })
    } else if (entry.started) {
      // The agent listed the pod's directories, and this attempt has none.
      endAttempt(d, entry, lost('its pod knows nothing of it'))
    } else if (leasedTo !== null && leasedTo !== pod.uid) {
      // It was leased to an earlier pod of this name and may have run there, so it must not start in this pod. `adopt` lets an agent that is
      // about to start it go on; any other agent looks for its directory, as for every attempt that it adopts, and reports that it is gone.
      d.live.set(name, entry)
      adopt.push(entry)
    } else {
      d.live.set(name, entry)
      again.push(entry)
    }
  }

  for (const [name, memory] of before) {
    if (known.has(name) || d.live.has(name)) continue
    if (memory.phase === 'leaving') d.live.set(name, memory)
    else if (memory.added >= began) {
      // Claimed after the rows were read.
      const sent: Live = { ...memory, connection: connection.id }
      d.live.set(name, sent)
      if (memory.phase === 'assigned') again.push(sent)
    }
  }

  giveUpAbsent(d, random, now)
  const stop = hello
    .map(({ task_id, attempt }) => ({ task_id, attempt }))
    .filter((ref) => !known.has(nameOf(ref)) && !d.live.has(nameOf(ref)))
  const [first = [], ...more] = inParts(adopt)
  const send = { type: 'send' as const, connection: connection.id }
  d.effects.push({
    ...send,
    frame: { type: 'welcome', epoch: connection.epoch, server_time: now, adopt: first, stop: stop.slice(0, maxStops) },
  })
  for (let from = maxStops; from < stop.length; from += maxStops) {
    const rest = stop.slice(from, from + maxStops)
    d.effects.push({ ...send, frame: { type: 'welcome', epoch: connection.epoch, server_time: now, adopt: [], stop: rest } })
  }
  for (const tasks of more) d.effects.push({ ...send, frame: { type: 'assign', tasks } })
  assign(d, again)
  if (started.length > 0) write(d, { kind: 'mark_started', started })
  // The log may have missed a cancel request that the row has.
  const cancelled = rows.filter(({ task }) => task.cancel_requested_at !== null).map(({ task }) => task)
  if (cancelled.length > 0) d.effects.push({ type: 'sync_logs', tasks: cancelled })
}

/**
 * While no agent is connected: an attempt is lost as soon as its supervisor must have ended it by itself (`orphanMs`). Others wait for an
 * agent, or for that time.
 */
export function orphans(d: Draft, rows: readonly Dispatch[], now: number): void {
  const before = d.live
  d.live = new Map()
  d.orphanAt = null
  for (const row of rows) {
    const name = nameOf(refOf(row))
    const memory = before.get(name)
    const entry: Live = {
      ...row,
      phase: 'unknown',
      uid: memory?.uid ?? null,
      connection: null,
      started: row.task.status === 'running' || memory?.started === true,
      resent: true,
      absentAt: null,
      added: ++d.counter,
      overdueAt: memory?.overdueAt ?? overdueAt(row.task, now),
      done_at: null,
    }
    const goneAt = (row.task.lease_until ?? now) + orphanMs
    if (memory?.phase === 'leaving') d.live.set(name, memory)
    else if (goneAt <= now) endAttempt(d, entry, lost('its cluster did not come back'))
    else {
      d.live.set(name, entry)
      d.orphanAt = Math.min(d.orphanAt ?? goneAt, goneAt)
    }
  }
}

export function accepted(d: Draft, connection: Connection, frame: Frame<'accepted'>, now: number): void {
  const started: Frame<'accepted'>['attempts'] = []
  let strange = false
  for (const { task_id, attempt, started_at } of frame.attempts) {
    const name = nameOf({ task_id, attempt })
    const entry = d.live.get(name)
    if (entry === undefined) strange = true
    else if (entry.phase === 'assigned' || entry.phase === 'unknown') {
      const pod = podOf(d, entry.task.pod)
      // The pod is not in the inventory yet: it came back under its name. `hello` will tell what is in it.
      if (pod === undefined) strange = true
      const where =
        pod === undefined ? ({ phase: 'unknown', uid: null, absentAt: now } as const) : ({ phase: 'running', uid: pod.uid } as const)
      const due = entry.started ? entry.overdueAt : overdueAt(entry.task, now)
      d.live.set(name, { ...entry, ...where, started: true, connection: connection.id, overdueAt: due })
      if (entry.task.status === 'leased') started.push({ task_id, attempt, started_at })
    }
  }
  if (started.length > 0) write(d, { kind: 'mark_started', started })
  // The agent runs an attempt that the hub does not know: the welcome that answers its `hello` tells it to stop.
  if (strange) askHello(d)
}

export function rejected(d: Draft, frame: Frame<'rejected'>, random: number, now: number): void {
  for (const { task_id, attempt, reason, detail } of frame.attempts) {
    const entry = d.live.get(nameOf({ task_id, attempt }))
    if (entry === undefined || entry.phase === 'leaving' || entry.phase === 'done') continue
    if (reason === 'floor' || reason === 'already_ended') {
      // The attempt's directory existed and was removed, so it may have run: whatever it reported is in the log.
      if (entry.resent || entry.started) endAttempt(d, entry, lost(`the pod refused it: ${reason}`))
      else giveBack(d, entry, { reason, detail, doubted: false }, random, now)
    } else if (entry.phase === 'assigned' && (!entry.resent || final.has(reason))) {
      giveBack(d, entry, { reason, detail, doubted: entry.resent }, random, now)
    } else {
      // It was sent before, and this agent refused without asking the pod: an earlier agent may have started it, or may be about to.
      const absentAt = podOf(d, entry.task.pod) === undefined ? (entry.absentAt ?? now) : null
      d.live.set(nameOf({ task_id, attempt }), { ...entry, phase: 'unknown', absentAt })
    }
  }
}

/** After these reasons no agent starts the attempt: its pod refuses it from now on, or it can run nowhere. */
const final: ReadonlySet<RejectReason> = new Set(['start_failed', 'workspace_busy', 'binary_missing', 'invalid'])

/**
 * Added to the delay after `workspace_busy`: the attempt that holds the workspace in the pod has no live row any more (at most one row of a
 * project holds a workspace), so it is being stopped, and that takes seconds.
 */
const busyWaitMs = 5_000

const rejectCodes: Readonly<Record<RejectReason, TaskErrorCode>> = {
  no_such_pod: 'POD_UNAVAILABLE',
  pod_not_ready: 'POD_UNAVAILABLE',
  no_free_slot: 'POD_UNAVAILABLE',
  draining: 'POD_UNAVAILABLE',
  start_failed: 'POD_UNAVAILABLE',
  already_ended: 'STALE_WORKER',
  floor: 'STALE_WORKER',
  workspace_busy: 'WORKSPACE_ERROR',
  binary_missing: 'BINARY_MISSING',
  invalid: 'INVALID_SPEC',
}

/**
 * Returns an attempt that never started to the queue, or fails its task after five such dispatches. Every dispatch raises the attempt number,
 * started or not, so the number counts them; attempts that the task's retry policy may add are allowed on top. The delay is full jitter.
 */
function giveBack(
  d: Draft,
  entry: Live,
  { reason, detail, doubted }: { readonly reason: RejectReason; readonly detail?: string | undefined; readonly doubted: boolean },
  random: number,
  now: number,
): void {
  const { task } = entry
  const { generation } = d.durable
  const hopeless = reason === 'binary_missing' || reason === 'invalid'
  const tooOften = task.attempt >= maxFailedDispatches + task.spec.retry.max_attempts - 1 && reason !== 'draining'
  if (hopeless || tooOften) {
    const error = `not started: ${reason}${detail ? `: ${detail}` : ''}`
    d.live.set(nameOf(refOf(entry)), { ...entry, phase: 'leaving' })
    write(d, { kind: 'fail', task, outcome: outcome('failed', { error_code: rejectCodes[reason], error }), generation })
    return
  }
  d.live.set(nameOf(refOf(entry)), { ...entry, phase: 'leaving' })
  const usual = reason === 'draining' ? 0 : fullJitter(task.attempt - 1, random)
  const delay = reason === 'workspace_busy' ? usual + busyWaitMs : usual
  write(d, { kind: 'requeue', ref: refOf(entry), run_after: now + delay, doubted: doubted ? task : null, generation })
}

/** Of an attempt that has not started the time counts from now. */
export const overdueAt = ({ started_at, spec }: Task, now: number): number => (started_at ?? now) + spec.timeout_s * 1000 + hubCeilingMs

/**
 * Ends attempts of which nobody told the end until long after their time limit. Their agents give up before; one that does not keeps its slot for
 * ever otherwise. The next `hello` tells the agent to stop them.
 */
export function endOverdue(d: Draft, now: number): void {
  const overdue = [...d.live.values()].filter((entry) => entry.phase !== 'leaving' && entry.phase !== 'done' && entry.overdueAt <= now)
  for (const entry of overdue) {
    endAttempt(d, entry, lost('its agent told no end of it until long after the time limit; a process of it may still run'))
  }
  if (overdue.length > 0) askHello(d)
}

/** Ends attempts whose pod has been missing for `podAbsentMs`. */
export function giveUpAbsent(d: Draft, random: number, now: number): void {
  for (const entry of d.live.values()) {
    const absentMs = entry.phase === 'unknown' && entry.absentAt !== null ? now - entry.absentAt : 0
    if (absentMs >= podAbsentMs && podOf(d, entry.task.pod) === undefined) podGone(d, entry, random, now)
  }
}

/** A confirmed attempt is lost with its pod. Any other may have started unseen: it goes back to the queue unless its log has received something. */
function podGone(d: Draft, entry: Live, random: number, now: number): void {
  if (entry.started) endAttempt(d, entry, lost('its pod is gone'))
  else giveBack(d, entry, { reason: 'no_such_pod', doubted: true }, random, now)
}

/** Called after each change of the inventory: judges live attempts whose pod is gone or replaced. */
export function checkPods(d: Draft, random: number, now: number): void {
  let look = false
  for (const [name, entry] of d.live) {
    if (entry.phase !== 'running' && entry.phase !== 'unknown') continue
    const pod = podOf(d, entry.task.pod)
    // Entries that are `assigned` are left alone: the agent rejects what it cannot start.
    if (pod === undefined) {
      // This agent reported the pod before, so the pod is gone now.
      if (entry.absentAt === null) podGone(d, entry, random, now)
    } else if (entry.uid !== null && pod.uid !== entry.uid) {
      // Another pod has the name. The start command may have reached it, or it may have got the disk, so only a `hello` can tell.
      d.live.set(name, { ...entry, phase: 'unknown' })
      look ||= pod.ready
    } else if (entry.phase === 'unknown' && pod.ready) look = true
  }
  if (look) askHello(d)
}
