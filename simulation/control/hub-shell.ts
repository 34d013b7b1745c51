// The cluster hub's object as the simulator runs it: the real machine, effects as control-plane/src/objects/cluster-hub/object.ts does them.

import type { HubUp } from '@rdev/shared/wire/hub-frames'
import { carryOut, inspectQueue } from '../../control-plane/src/objects/cluster-hub/store-calls.ts'
import { stepHub } from '../../control-plane/src/objects/cluster-hub/machine.ts'
import {
  initialHub,
  leaseMs,
  newMemory,
  type Dispatch,
  type HubEffect,
  type HubInput,
  type HubMemory,
  type HubState,
} from '../../control-plane/src/objects/cluster-hub/state.ts'
import type { AttemptRef, LiveTask } from '../../control-plane/src/ports/dispatch-store.ts'
import type { Life } from '../world/kernel.ts'
import type { SimConnection } from '../world/network.ts'
import type { ControlPlane } from './control-plane.ts'
import { describeHub } from './describe-hub.ts'
import type { Instance, ObjectCell } from './objects.ts'

interface Attachment {
  readonly epoch: number
  readonly since: number
}

/** As in cluster-hub.ts. */
const tokenGraceMs = 60 * 60_000
const alarmDelayMs = 100
const alarmDropMs = 1_000

export class HubShell implements Instance {
  readonly #cell: ObjectCell<HubMemory>
  readonly #plane: ControlPlane
  readonly #life: Life
  readonly #known = new Set<string>()
  #pending = 0
  #lastFrameAt = 0
  #alarmWanted = false
  #alarmUnwanted = false
  #alarmSetAt = Infinity
  #state: HubState

  constructor(cell: ObjectCell<HubMemory>, plane: ControlPlane) {
    this.#cell = cell
    this.#plane = plane
    this.#life = cell.life
    this.#state = initialHub(`boot${Math.floor(cell.kernel.random.chance() * 1e12)}`, cell.stored ?? newMemory)
    let newest: { id: string; epoch: number } | null = null
    for (const socket of cell.sockets.values()) {
      const attachment = socket.attachment as Attachment | undefined
      if (attachment === undefined || attachment.epoch !== this.#state.durable.epoch) continue
      this.#known.add(socket.id)
      newest = { id: socket.id, epoch: attachment.epoch }
    }
    this.#step({ type: 'woke', connection: newest })
  }

  get state(): HubState {
    return this.#state
  }

  poke(): void {
    this.#step({ type: 'poke' })
  }
  ended(ref: AttemptRef): void {
    this.#step({ type: 'ended', ref })
  }

  connected(socket: SimConnection): void {
    this.#known.add(socket.id)
    this.#step({ type: 'connected', connection: socket.id })
    const attachment: Attachment = { epoch: this.#state.durable.epoch, since: this.#plane.now() }
    socket.attachment = attachment
    this.#lastFrameAt = attachment.since
  }

  frame(socket: SimConnection, frame: object): void {
    if (!this.#known.has(socket.id)) return
    this.#plane.check('hubUp', frame)
    this.#lastFrameAt = this.#plane.now()
    this.#step({ type: 'frame', connection: socket.id, frame: frame as HubUp, random: this.#chance() })
  }

  closed(socket: SimConnection): void {
    if (!this.#known.delete(socket.id) && socket.attachment === undefined) return
    this.#step({ type: 'closed', connection: socket.id })
  }

  alarm(): void {
    this.#alarmSetAt = Infinity
    this.#step({ type: 'alarm', silentMs: this.#silentMs(), random: this.#chance() })
    this.#settle()
  }

  idle(): boolean {
    return this.#pending === 0 && !this.#alarmWanted && !this.#alarmUnwanted
  }

  #settle(): void {
    const cell = this.#cell
    if (!cell.handling || this.#pending > 0) return
    cell.alarmDone()
    const wanted = this.#state.alarmAt
    if (wanted !== null && cell.alarmAt === null) cell.setAlarm(Math.max(wanted, this.#plane.now() + 1_000))
  }

  #silentMs(): number | null {
    const socket = this.#cell.sockets.get(this.#state.connection?.id ?? '')
    if (socket === undefined) return null
    const since = (socket.attachment as Attachment | undefined)?.since ?? 0
    return this.#plane.now() - Math.max(this.#plane.wall(socket.lastPingAt), this.#lastFrameAt, since)
  }

  #chance(): number {
    return this.#cell.kernel.random.chance()
  }

  #step(input: HubInput): void {
    const cell = this.#cell
    const { state, effects } = stepHub(this.#state, input, this.#plane.now())
    cell.kernel.say('hub', () => describeHub(input, effects))
    let left = Infinity
    if (state.durable !== this.#state.durable) left = cell.commit(() => (cell.stored = state.durable))
    this.#state = state
    for (const effect of effects.slice(0, Math.min(left, effects.length))) this.#do(effect)
    if (left !== Infinity) cell.crash()
  }

  #do(effect: HubEffect): void {
    const { network } = this.#plane
    const { kernel } = this.#cell
    switch (effect.type) {
      case 'send': {
        const socket = this.#cell.sockets.get(effect.connection)
        this.#plane.check('hubDown', effect.frame)
        if (socket !== undefined && this.#known.has(socket.id)) network.sendDown(socket, effect.frame)
        return
      }
      case 'close': {
        const socket = this.#cell.sockets.get(effect.connection)
        this.#known.delete(effect.connection)
        this.#cell.sockets.delete(effect.connection)
        if (socket !== undefined) network.serverClose(socket, effect.code)
        return
      }
      case 'alarm':
        return effect.at === null ? this.#dropAlarm() : this.#wantAlarm()
      case 'load':
        return this.#ask(
          async () => {
            const { generation, live } = await this.#deps().dispatch.takeOver(this.#cell.name, effect.generation)
            return { type: 'loaded', generation, live: this.#dispatches(live), random: this.#chance() }
          },
          () => ({ type: 'load_failed', random: this.#chance() }),
        )
      case 'claim': {
        const { claim_id, slots, generation, number } = effect
        return this.#ask(
          async () => {
            const claimed = await this.#deps().dispatch.claim({
              clusterId: this.#cell.name,
              claimId: claim_id,
              slots,
              leaseMs,
              generation,
              number,
            })
            return { type: 'claimed', claim_id, tasks: this.#dispatches(claimed) }
          },
          () => ({ type: 'claim_failed', claim_id, random: this.#chance() }),
        )
      }
      case 'inspect_queue':
        return this.#ask(
          () => inspectQueue(this.#deps().dispatch, this.#cell.name, effect.pods),
          () => ({ type: 'queue_inspection_failed', random: this.#chance() }),
        )
      case 'write': {
        const { id, write } = effect
        kernel.count(`hub ${write.kind}`)
        return this.#ask(
          async () => ({ type: 'written', id, tasks: await carryOut(this.#deps(), this.#cell.name, write) }),
          () => ({ type: 'write_failed', id, random: this.#chance() }),
        )
      }
      case 'sync_logs':
        for (const task of effect.tasks) this.#later(this.#plane.logs(this.#life).sync(task))
        return
      case 'renew':
        return this.#later(this.#deps().dispatch.renew(this.#cell.name, effect.refs, leaseMs))
    }
  }

  #deps() {
    return this.#plane.depsOf(this.#life)
  }

  #wantAlarm(): void {
    if (this.#alarmWanted) return
    this.#alarmWanted = true
    this.#cell.kernel.after(alarmDelayMs, this.#life, () => {
      this.#alarmWanted = false
      const wanted = this.#state.alarmAt
      if (wanted === null || wanted >= this.#alarmSetAt) return
      this.#alarmSetAt = wanted
      this.#cell.setAlarm(wanted)
    })
  }

  #dropAlarm(): void {
    if (this.#alarmUnwanted) return
    this.#alarmUnwanted = true
    this.#cell.kernel.after(alarmDropMs, this.#life, () => {
      this.#alarmUnwanted = false
      if (this.#state.alarmAt !== null || this.#alarmSetAt === Infinity) return
      this.#alarmSetAt = Infinity
      this.#cell.setAlarm(null)
    })
  }

  #ask(question: () => Promise<HubInput>, failed: () => HubInput): void {
    this.#later(
      (async () => {
        let input: HubInput
        try {
          input = await question()
        } catch {
          input = failed()
        }
        this.#cell.turn(this.#life, () => this.#step(input))
      })(),
    )
  }

  /** What fails here is a hint; everything else has caught its own. */
  #later(work: Promise<unknown>): void {
    this.#pending++
    this.#cell.kernel.touched()
    const done = () => {
      this.#pending--
      if (!this.#life.dead) this.#settle()
    }
    work.then(done, done)
  }

  #dispatches(live: readonly LiveTask[]): Dispatch[] {
    const { epoch } = this.#state.durable
    return live.map(({ task, provider_session_id }) => {
      const expires = this.#plane.now() + task.spec.timeout_s * 1_000 + tokenGraceMs
      return { task, provider_session_id, token: this.#plane.signLine(task.id, task.attempt, epoch, expires) }
    })
  }
}
