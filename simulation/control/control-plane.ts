// The control plane: both kinds of objects on the platform, their calls to each other, and what a client asks of the API, which runs the
// product's own use cases.

import type { AttemptRef } from '@rdev/shared/domain/attempt'
import { agentProviders } from '@rdev/shared/domain/code-agent'
import type { TaskEvent } from '@rdev/shared/domain/event'
import type { ObservedResources } from '@rdev/shared/domain/resource'
import type { AskedTask, Task } from '@rdev/shared/domain/task'
import { hubDownSchema } from '@rdev/shared/wire/hub-frames'
import { closeCodes } from '@rdev/shared/wire/limits'
import { taskDownSchema } from '@rdev/shared/wire/task-frames'
import type { HubLogs } from '../../control-plane/src/objects/cluster-hub/store-calls.ts'
import type { ClusterHubDriver } from '../../control-plane/src/objects/cluster-hub/driver.ts'
import { repeatPoke } from '../../control-plane/src/objects/cluster-hub/repeat-poke.ts'
import type { ObjectDriver } from '../../control-plane/src/objects/platform.ts'
import type { TaskLogDriver } from '../../control-plane/src/objects/task-log/driver.ts'
import type { Hubs } from '../../control-plane/src/ports/hubs.ts'
import type { Log } from '../../control-plane/src/ports/log.ts'
import type { TaskLogs } from '../../control-plane/src/ports/task-logs.ts'
import type { TokenClaims } from '../../control-plane/src/ports/tokens.ts'
import type { KeyActor } from '../../control-plane/src/ports/actor.ts'
import { cancelTask } from '../../control-plane/src/usecases/cancel-task.ts'
import { createTask } from '../../control-plane/src/usecases/create-task.ts'
import { epochMs, Life, type Kernel } from '../world/kernel.ts'
import { Network } from '../world/network.ts'
import type { Database } from './database.ts'
import { hubKind } from './hub-cell.ts'
import { ObjectCell, Platform, type CellKind } from './objects.ts'
import { keyIn, ModelKeys } from './keys.ts'
import { ModelResources } from './resources.ts'
import { eventsIn, taskLogKind, type ReaderSocket, type StoredLog } from './task-log-cell.ts'

export const clusterId = 'hub'
const schemas = { hubDown: hubDownSchema, taskDown: taskDownSchema }

/** The actor of every request. */
export const client: KeyActor = { key_id: 'key_simulated', project_ids: null, request_id: 'req_simulated' }

/** The promise for open sockets. */
const revokedGraceMs = 60_000
export interface RpcFaults {
  fails: number
  slowMs: number
}

export class ControlPlane {
  readonly kernel: Kernel
  readonly database: Database
  readonly platform: Platform
  readonly network: Network
  readonly resources = new ModelResources()
  readonly keys: ModelKeys
  /** The observed resources that the hub received last. */
  observed: ObservedResources | null = null
  readonly rpcFaults: RpcFaults = { fails: 0, slowMs: 0 }
  /** Check frames to agents with the wire's schemas. It is slow, so not every history does. */
  strict = false
  /** Called when a log took an event from a line that is older than one that it had opened. */
  onStale: (taskId: string, attempt: number, what: string) => void = () => {}
  /** Called when a socket was of use after its key had been revoked for longer than is promised. */
  onRevoked: (name: string, what: string) => void = () => {}
  /** Called when an object logs what must never happen: a frame that it refuses, an alarm that fails. */
  onComplaint: (name: string, what: string) => void = () => {}
  readonly #epochs = new Map<string, number>()
  readonly #failures = new Map<string, number>()
  readonly #hubKind = hubKind(this)
  readonly #logKind = taskLogKind(this)
  #readers = 0

  constructor(kernel: Kernel, database: Database) {
    this.kernel = kernel
    this.database = database
    this.keys = new ModelKeys(database.stores.keys, clusterId, client)
    this.platform = new Platform(kernel)
    this.network = new Network(kernel, this.platform)
    this.platform.network = this.network
    this.platform.route = (target) => {
      const [kind, id = '', attempt, epoch, expires] = target.split(' ')
      if (!this.keys.isValid(keyIn(target))) return closeCodes.unauthorized
      if (kind === 'hub') return this.hub
      if (attempt === undefined || epoch === undefined || Number(expires) <= this.now()) return closeCodes.unauthorized
      return this.log(id)
    }
  }

  /** The wall time of the control plane. */
  now(): number {
    return this.wall(this.kernel.now)
  }
  wall(virtualMs: number): number {
    return epochMs + virtualMs
  }

  /** The highest epoch for which a log has opened a line of this attempt. */
  newestEpoch(name: string): number {
    return this.#epochs.get(name) ?? 0
  }
  opened(name: string, epoch: number): void {
    this.#epochs.set(name, Math.max(epoch, this.newestEpoch(name)))
  }

  get hub(): ObjectCell<unknown> {
    return this.#cell(clusterId, this.#hubKind)
  }
  log(taskId: string): ObjectCell<unknown> {
    return this.#cell(taskId, this.#logKind)
  }
  /** The events that a task's log holds. */
  eventsOf(taskId: string): TaskEvent[] {
    const stored = this.platform.cells.get(taskId)?.stored as StoredLog | undefined
    return (stored?.batches ?? []).flatMap(({ body }) => eventsIn(body))
  }

  #cell(name: string, kind: CellKind<never>): ObjectCell<unknown> {
    let cell = this.platform.cells.get(name)
    if (cell === undefined) this.platform.cells.set(name, (cell = new ObjectCell<unknown>(this.platform, name, kind as CellKind<unknown>)))
    return cell
  }

  /** Checks a frame to an agent, because an agent would ignore what it does not know. Throws if it does not fit the schema. */
  checked(kind: keyof typeof schemas, text: string): string {
    const parsed = this.strict ? schemas[kind].safeParse(JSON.parse(text)) : undefined
    if (parsed?.success === false) throw new Error(`a ${kind} frame is malformed: ${parsed.error.message} ${text}`)
    return text
  }

  /** The token of an attempt's line; see `route`. */
  readonly tokens = {
    sign: async (claims: TokenClaims): Promise<string> => {
      if (claims.kind !== 'attempt') throw new Error('the simulator signs only tokens of attempts')
      return `line ${claims.task_id} ${claims.attempt} ${claims.epoch} ${claims.expires_at} ${claims.key_id}`
    },
  }

  /** What an object logs. Agents of the simulator send no malformed frames, so a complaint about one is a violation. */
  logOf(name: string, life: Life): Log {
    return (level, phrase, fields = {}) => {
      if (life.dead) return
      this.kernel.say(name, () => `${level}: ${phrase} ${JSON.stringify(fields)}`)
      // Statements are refused where a fault does it.
      if (fields['refused'] !== undefined) return
      if (phrase.includes('malformed') || phrase.includes('refused') || level === 'error')
        this.onComplaint(name, `${phrase} ${JSON.stringify(fields)}`)
    }
  }

  /** The platform does not refuse calls to one object for ever: after four failures a call succeeds. */
  #unlucky(name: string): boolean {
    const failures = this.#failures.get(name) ?? 0
    const fails = failures < 4 && this.kernel.random.maybe(this.rpcFaults.fails / 2)
    this.#failures.set(name, fails ? failures + 1 : 0)
    if (fails) this.kernel.count('call between objects failed')
    return fails
  }

  /** A call to another object. It may come late or not arrive, or its answer may be lost. */
  #rpc<Driver extends ObjectDriver, Result>(from: Life, cell: ObjectCell<unknown>, work: (driver: Driver) => Result): Promise<Result> {
    const { kernel, platform } = this
    const { random } = kernel
    kernel.touched()
    return new Promise((resolve, reject) => {
      const answer = (tell: () => void) => {
        kernel.after(random.int(0, 2), from, () => {
          kernel.touched()
          tell()
        })
      }
      if (this.#unlucky(cell.name)) return answer(() => reject(new Error('the object is overloaded')))
      const delayMs = this.rpcFaults.slowMs > 0 && random.maybe(0.2) ? random.skewed(0, this.rpcFaults.slowMs) : random.int(0, 2)
      const { life } = platform
      kernel.after(delayMs, life, () => {
        let result!: Result
        const done = cell.enter((driver) => {
          result = work(driver as Driver)
        })
        if (!done || this.#unlucky(cell.name)) return answer(() => reject(new Error('the object broke')))
        answer(() => resolve(result))
      })
    })
  }

  logs(life: Life): Pick<TaskLogs, 'sync' | 'cancel'> & HubLogs {
    const call = <Result>(id: string, work: (log: TaskLogDriver) => Result) => this.#rpc(life, this.log(id), work)
    return {
      sync: (task) => call(task.id, (log) => log.sync(task)),
      cancel: (task, graceS) => call(task.id, (log) => log.cancel(task, graceS)),
      keyRevoked: (task, keyId) => call(task.id, (log) => log.keyRevoked(keyId)),
      received: (task) => call(task.id, (log) => log.received(task)),
      end: (task, outcome) => call(task.id, (log) => log.end(task, outcome)),
    }
  }

  #poke(life: Life): Promise<void> {
    return this.#repeat(life, (hub) => hub.poke())
  }
  #repeat(life: Life, work: (hub: ClusterHubDriver) => void): Promise<void> {
    return repeatPoke(
      () => this.#rpc(life, this.hub, work),
      (ms) => this.#pause(life, ms),
      () => this.kernel.random.chance(),
    )
  }
  #pause(life: Life, delayMs: number): Promise<void> {
    this.kernel.touched()
    return new Promise((resolve) => {
      this.kernel.after(delayMs, life, () => {
        this.kernel.touched()
        resolve()
      })
    })
  }

  rowEnded(life: Life) {
    return (_clusterId: string, ref: AttemptRef): Promise<void> => this.#rpc(life, this.hub, (hub: ClusterHubDriver) => hub.ended(ref))
  }

  /** The dependencies of a use case that runs in that life. */
  depsOf(life: Life) {
    const { kernel, database } = this
    const hubs: Hubs = {
      poke: () => this.#poke(life),
      projectRegistered: () => Promise.reject(new Error('the simulator registers no project')),
      keyRevoked: (_clusterId, keyId) => this.#rpc(life, this.hub, (hub: ClusterHubDriver) => hub.keyRevoked(keyId)),
      status: () => Promise.reject(new Error('the simulator does not ask for the status')),
    }
    const { tasks, dispatch, sessions, projects, keys } = database.stores
    return {
      tasks: database.port(tasks, life),
      dispatch: database.port(dispatch, life),
      sessions: database.port(sessions, life),
      projects: database.port(projects, life),
      keys: database.port(keys, life),
      resources: database.port({ desired: (id: string) => this.resources.desired(id) }, life),
      hubs,
      logs: this.logs(life),
      clock: { now: () => this.now() },
      random: { chance: () => kernel.random.chance(), bytes: (count: number) => kernel.random.bytes(count) },
      log: () => {},
      providers: agentProviders,
    }
  }

  // Requests of clients. A request ends when the program that answers it dies.

  #call<Result>(work: (life: Life) => Promise<Result>): Promise<Result> {
    this.kernel.touched()
    if (this.platform.down) return Promise.reject(new Error('the control plane is down'))
    return work(new Life('api', this.platform.life))
  }

  create(asked: AskedTask): Promise<Task> {
    return this.#call((life) => createTask(this.depsOf(life), client, asked, ignore))
  }
  /** What the route does after a revocation: it tells the hub, once. */
  tellRevoked(keyId: string): Promise<void> {
    return this.#call((life) => this.depsOf(life).hubs.keyRevoked(clusterId, keyId))
  }
  /** Something happened on a socket whose key was revoked more than 60 s ago, while the database answered. Then it must be closed by now. */
  isOverdue(target: string): boolean {
    const longAgo = this.keys.revokedForMs(keyIn(target), this.now()) > revokedGraceMs
    return longAgo && this.kernel.now - this.database.troubledAt > revokedGraceMs
  }
  /** Changes the desired resources, then tells the hub. If that fails, the operator does it again. */
  changeResources(): Promise<void> {
    this.resources.change(this.kernel.random)
    return this.#call((life) => this.#repeat(life, (hub) => hub.resourcesChanged()))
  }
  cancel(taskId: string): Promise<Task> {
    return this.#call((life) => cancelTask(this.depsOf(life), taskId, client, ignore))
  }
  /** What happens for a reader of an ended or unknown log: the row is read, and the log is brought up to it. */
  bringUp(taskId: string): Promise<void> {
    return this.#call(async (life) => {
      const task = await this.depsOf(life).tasks.get(taskId, null)
      if (task) await this.logs(life).sync(task)
    })
  }
  /** Opens a reader's socket and answers its id; undefined: the control plane is down. */
  read(taskId: string, after: number, reader: ReaderSocket): string | undefined {
    if (this.platform.down) return undefined
    const id = `reader ${++this.#readers}`
    const cell = this.log(taskId)
    let opened = false
    cell.enter((driver) => {
      const { text, closed, cut } = reader
      const socket = { id, attachment: undefined, lastPingAt: 0, accepted: () => {}, send: text, close: closed, cut }
      cell.sockets.set(id, socket)
      opened = true
      ;(driver as TaskLogDriver).connectReader(id, after, 'entries')
    })
    return opened ? id : undefined
  }
  /** A reader's socket was cut; the log may be told or not. */
  leave(taskId: string, id: string): void {
    const cell = this.log(taskId)
    const gone = cell.sockets.delete(id)
    if (gone && !this.platform.down && this.kernel.random.maybe(0.5)) cell.enter((driver) => driver.closed(id))
  }
}

const ignore = (work: Promise<void>): void => void work.catch(() => {})
