// Drives a cluster's hub: decodes the agent's frames, stores what a step changed before it performs the step's effects, calls stores and
// logs, and keeps the one alarm cheap. The decisions are in machine.ts. Only HubMemory is stored; after a sleep the rest is rebuilt from the
// agent's `hello` and from Postgres.

import type { AttemptRef } from '@rdev/shared/domain/attempt'
import type { Task } from '@rdev/shared/domain/task'
import { decodeFrame, encodeFrame } from '@rdev/shared/wire/codec'
import { hubUpSchema } from '@rdev/shared/wire/hub-frames'
import { closeCodes } from '@rdev/shared/wire/limits'
import { speaksProtocol } from '@rdev/shared/wire/version'
import type { Deps } from '../../ports/deps.ts'
import type { LiveTask } from '../../ports/dispatch-store.ts'
import type { HubStatus } from '../../ports/hubs.ts'
import type { ResourceSource } from '../../ports/resource-source.ts'
import { MachineLoop, type LoopDeps } from '../machine-loop.ts'
import type { ObjectDriver, ObjectPlatform } from '../platform.ts'
import { stepHub } from './machine.ts'
import { leaseMs } from '@rdev/shared/domain/limits'
import { initialHub, newMemory } from './state.ts'
import type { ConnectionKey, Dispatch, HubEffect, HubInput, HubMemory, HubState, Woken } from './state.ts'
import { carryOut, inspectQueue, isKeyValid, type HubLogs } from './store-calls.ts'

export interface ClusterHubDeps extends Pick<Deps, 'tasks' | 'dispatch' | 'projects' | 'keys'>, LoopDeps {
  readonly tokens: Pick<Deps['tokens'], 'sign'>
  readonly logs: HubLogs
  readonly resources: ResourceSource
}

export interface HubAttachment {
  readonly key: ConnectionKey
  readonly epoch: number
  /** Wall time. */
  readonly since: number
}

/** `load` answers the newest value of each part of HubMemory; `commit` takes the parts that changed. */
export type HubPlatform = ObjectPlatform<Partial<HubMemory>, Partial<HubMemory>, HubAttachment>

export type OnHubStep = (input: HubInput, effects: readonly HubEffect[]) => void

/** Added to an attempt's longest life when its token is made: the agent may be away for a while before it reports the end. */
const tokenGraceMs = 60 * 60_000
/** How long `status` waits for the `hello` of a connected agent. */
const statusWaitMs = 2_000
/** How long a wanted alarm is kept in memory before it is written; see #wantAlarm. */
const alarmDelayMs = 100
/** How long no alarm must be wanted before the set one is deleted; see #dropAlarm. */
const alarmDropMs = 1_000
/** The least time between two alarms, so that an alarm that fails does not repeat without a pause. */
const alarmAgainMs = 1_000

export class ClusterHubDriver implements ObjectDriver {
  readonly #platform: HubPlatform
  readonly #deps: ClusterHubDeps
  readonly #clusterId: string
  readonly #loop: MachineLoop<HubState, HubInput, HubEffect>
  /** Sockets whose frames are taken, each with the time when it connected. */
  readonly #sinceOf = new Map<string, number>()
  /** Calls of `status` that wait for the agent's inventory. */
  #waiting: (() => void)[] = []
  #lastFrameAt = 0
  #alarmWanted = false
  #alarmUnwanted = false
  /** The alarm that this life of the object has set on the platform; infinity: none. */
  #alarmSetAt = Number.POSITIVE_INFINITY

  constructor(platform: HubPlatform, deps: ClusterHubDeps, onStep?: OnHubStep) {
    this.#platform = platform
    this.#deps = deps
    this.#clusterId = platform.name
    this.#loop = new MachineLoop<HubState, HubInput, HubEffect>(platform, deps, {
      initial: initialHub(platform.newId(), { ...newMemory, ...platform.load() }),
      fields: { cluster_id: platform.name },
      step: stepHub,
      save: (after, before) => this.#save(after.durable, before.durable),
      perform: (effect) => this.#perform(effect),
      onStep,
    })
    let newest: Woken | null = null
    for (const [id, { key, epoch, since }] of platform.connections()) {
      if (epoch !== this.#loop.state.durable.epoch) continue
      this.#sinceOf.set(id, since)
      newest = { id, key, epoch, since }
    }
    this.#loop.step({ type: 'woke', connection: newest })
  }

  // What the Worker and task logs call.

  poke(): void {
    this.#loop.step({ type: 'poke' })
  }

  projectRegistered(): void {
    this.#loop.step({ type: 'project_registered' })
  }

  /** A hint: the key was revoked. */
  keyRevoked(keyId: string): void {
    this.#loop.step({ type: 'key_revoked', key_id: keyId })
    this.#release()
  }

  resourcesChanged(): void {
    this.#loop.step({ type: 'resources_changed' })
  }

  ended(ref: AttemptRef): void {
    this.#loop.step({ type: 'ended', ref })
  }

  /** Answers within `statusWaitMs`, also if the connected agent has not sent its inventory yet. */
  async status(): Promise<HubStatus> {
    const { connection: now } = this.#loop.state
    if (now !== null && now.hello === null) {
      await new Promise<void>((resolve) => {
        const cancel = this.#platform.after(statusWaitMs, resolve)
        this.#waiting.push(() => {
          cancel()
          resolve()
        })
      })
    }
    const { connection, pods, live } = this.#loop.state
    const running = (name: string) => [...live.values()].filter(({ task }) => task.pod === name).length
    return {
      connected: connection !== null,
      agent_version: connection?.version ?? null,
      pods: pods.map((pod) => ({ ...pod, running: running(pod.name) })),
    }
  }

  // The agent's socket. The Worker has authenticated it.

  /**
   * Why a new socket must be closed at once; undefined: it may connect. Checked before `connect`, because an agent of an unknown protocol
   * must not supersede a working one.
   */
  refusal(protocol: string): { readonly code: number; readonly reason: string } | undefined {
    if (protocol === '' || speaksProtocol(Number(protocol))) return undefined
    this.#loop.log('warn', 'agent of another protocol refused', { protocol })
    return { code: closeCodes.unsupportedProtocol, reason: 'this protocol version is not supported' }
  }

  connect(connection: string, key: ConnectionKey): void {
    const since = this.#deps.clock.now()
    this.#sinceOf.set(connection, since)
    this.#loop.step({ type: 'connected', connection, key })
    this.#platform.accept(connection, { key, epoch: this.#loop.state.durable.epoch, since })
    this.#lastFrameAt = since
  }

  message(connection: string, message: string | ArrayBuffer): void {
    if (!this.#sinceOf.has(connection)) return
    this.#lastFrameAt = this.#deps.clock.now()
    const decoded = decodeFrame(hubUpSchema, message)
    if (decoded.ok) {
      this.#loop.step({ type: 'frame', connection, frame: decoded.frame })
      if (decoded.frame.type === 'hello' && this.#loop.state.connection?.hello !== null) this.#release()
    } else if (decoded.reason !== 'unknown_type') {
      const reason = decoded.reason.replace('_', ' ')
      this.#loop.log('warn', 'malformed frame of an agent', { reason })
      this.#platform.close(connection, closeCodes.malformed, reason)
      this.closed(connection)
    }
  }

  closed(connection: string): void {
    this.#sinceOf.delete(connection)
    this.#loop.step({ type: 'closed', connection })
    this.#release()
  }

  #release(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  alarm(): Promise<void> {
    this.#alarmSetAt = Number.POSITIVE_INFINITY
    return this.#loop.alarm(
      'alarm of a hub failed',
      () => ({ type: 'alarm', silentMs: this.#silentMs() }),
      () => {
        const wanted = this.#loop.state.alarmAt
        if (wanted === null) return null
        return (this.#alarmSetAt = Math.max(wanted, this.#deps.clock.now() + alarmAgainMs))
      },
    )
  }

  /** Milliseconds since the socket's last sign of life. The platform lists a half-open socket as open for ever; only its last ping shows the truth. */
  #silentMs(): number | null {
    const id = this.#loop.state.connection?.id ?? ''
    const since = this.#sinceOf.get(id)
    if (since === undefined) return null
    return this.#deps.clock.now() - Math.max(this.#platform.lastPingAt(id), this.#lastFrameAt, since)
  }

  #save(after: HubMemory, before: HubMemory): void {
    if (after === before) return
    const changed = Object.entries(after).filter(([key, value]) => value !== before[key as keyof HubMemory])
    if (changed.length > 0) this.#platform.commit(Object.fromEntries(changed))
  }

  #perform(effect: HubEffect): void {
    const { dispatch, logs, resources } = this.#deps
    switch (effect.type) {
      case 'send':
        if (this.#sinceOf.has(effect.connection)) this.#platform.send(effect.connection, encodeFrame(effect.frame))
        return
      case 'close':
        this.#sinceOf.delete(effect.connection)
        return this.#platform.close(effect.connection, effect.code, effect.reason)
      case 'alarm':
        return effect.at === null ? this.#dropAlarm() : this.#wantAlarm()
      case 'load':
        return this.#loop.ask(
          'live tasks could not be read',
          () => this.#takeOver(effect.generation),
          (why) => ({
            type: 'load_failed',
            why,
          }),
        )
      case 'claim': {
        const { claim_id, key_id, slots, generation, number } = effect
        const claim = { clusterId: this.#clusterId, claimId: claim_id, keyId: key_id, slots, leaseMs, generation, number }
        return this.#loop.ask(
          'claim failed',
          async () => ({ type: 'claimed', claim_id, tasks: await this.#dispatches(await dispatch.claim(claim)) }),
          (why) => ({ type: 'claim_failed', claim_id, why }),
        )
      }
      case 'read_desired':
        return this.#loop.ask(
          'desired resources could not be read',
          async () => ({ type: 'desired_read', desired: await resources.desired(this.#clusterId) }),
          (why) => ({ type: 'desired_read_failed', why }),
        )
      case 'inspect_queue':
        return this.#loop.ask(
          'queue could not be inspected',
          () => inspectQueue(dispatch, this.#clusterId, effect.pods),
          (why) => ({
            type: 'queue_inspection_failed',
            why,
          }),
        )
      case 'write': {
        const { id, write } = effect
        return this.#loop.ask(
          `${write.kind} failed`,
          async () => ({ type: 'written', id, tasks: await carryOut(this.#deps, this.#clusterId, write) }),
          (why) => ({ type: 'write_failed', id, why }),
        )
      }
      case 'sync_logs':
        for (const task of effect.tasks) this.#syncLog(task, logs)
        return
      case 'judge_key': {
        const { connection, key_id } = effect
        return this.#loop.ask(
          'key could not be judged',
          async () => ({ type: 'key_judged', connection, valid: await isKeyValid(this.#deps, this.#clusterId, key_id) }),
          () => ({ type: 'key_judged', connection, valid: null }),
        )
      }
      case 'close_lines':
        for (const task of effect.tasks) {
          this.#loop.hint('task log was not told of a revoked key', () => logs.keyRevoked(task, effect.key_id), { task_id: task.id })
        }
        return
      case 'renew':
        return this.#loop.hint('leases were not renewed', () => dispatch.renew(this.#clusterId, effect.refs, leaseMs))
    }
  }

  /**
   * Sets the alarm after `alarmDelayMs`, and only if it must be earlier than the one that is set. An alarm costs a write to disk, everything
   * that leaves the object waits for that write, and most tasks end before their alarm is due. An alarm that comes too early does no harm: it
   * sets the right one. A crash during the delay also cuts the agent's socket, and the next `hello` derives the alarm again.
   */
  #wantAlarm(): void {
    if (this.#alarmWanted) return
    this.#alarmWanted = true
    this.#platform.after(alarmDelayMs, () => {
      this.#alarmWanted = false
      const wanted = this.#loop.state.alarmAt
      if (wanted === null || wanted >= this.#alarmSetAt) return
      this.#alarmSetAt = wanted
      void this.#platform.setAlarm(wanted)
    })
  }

  /**
   * Deletes an alarm that nothing needs, after `alarmDropMs` of quiet and well before the object sleeps. If it stayed, it would wake the object
   * without memory; the object would ask the agent for `hello`, want an alarm while it waits, and so on for ever.
   */
  #dropAlarm(): void {
    if (this.#alarmUnwanted) return
    this.#alarmUnwanted = true
    this.#platform.after(alarmDropMs, () => {
      this.#alarmUnwanted = false
      if (this.#loop.state.alarmAt !== null || this.#alarmSetAt === Number.POSITIVE_INFINITY) return
      this.#alarmSetAt = Number.POSITIVE_INFINITY
      void this.#platform.setAlarm(null)
    })
  }

  async #takeOver(asked: number): Promise<HubInput> {
    const { generation, live } = await this.#deps.dispatch.takeOver(this.#clusterId, asked)
    return { type: 'loaded', generation, live: await this.#dispatches(live) }
  }

  #dispatches(live: readonly LiveTask[]): Promise<Dispatch[]> {
    const { tokens, clock } = this.#deps
    const { connection, durable } = this.#loop.state
    const { epoch } = durable
    // Without a connection nobody is given the token.
    const key = connection?.key ?? { id: '', expires_at: null }
    return Promise.all(
      live.map(async ({ task, provider_session_id }) => {
        const life = clock.now() + task.spec.timeout_s * 1_000 + tokenGraceMs
        const ref = { task_id: task.id, attempt: task.attempt, cluster_id: task.cluster_id }
        const given = { epoch, key_id: key.id, expires_at: Math.min(Math.ceil(life), key.expires_at ?? Infinity) }
        return { task, provider_session_id, token: await tokens.sign({ kind: 'attempt', ...ref, ...given }) }
      }),
    )
  }

  /**
   * Syncs a task's log after the frames of this step have left. The first call creates the log's object and its file, which takes a local
   * workerd 15 ms of its one thread, and the start of a process must not wait for that.
   */
  #syncLog(task: Task, logs: HubLogs): void {
    const sync = async () => {
      await new Promise<void>((resolve) => this.#platform.after(0, resolve))
      await logs.sync(task)
    }
    this.#loop.hint('task log was not synced', sync, { task_id: task.id })
  }
}
