// The control plane: both kinds of objects on the platform, their calls to each other, and what a client asks of the API, which runs the
// product's own use cases.

import type { KeyActor } from '../../control-plane/src/ports/actor.ts'
import { agentProviders } from '@rdev/shared/domain/code-agent'
import type { Task } from '@rdev/shared/domain/task'
import { hubDownSchema, hubUpSchema } from '@rdev/shared/wire/hub-frames'
import { closeCodes } from '@rdev/shared/wire/limits'
import { taskDownSchema, taskUpSchema } from '@rdev/shared/wire/task-frames'
import type { HubLogs } from '../../control-plane/src/objects/cluster-hub/store-calls.ts'
import type { HubMemory } from '../../control-plane/src/objects/cluster-hub/state.ts'
import { repeatPoke } from '../../control-plane/src/objects/cluster-hub/repeat-poke.ts'
import type { AttemptRef } from '../../control-plane/src/ports/dispatch-store.ts'
import type { Hubs } from '../../control-plane/src/ports/hubs.ts'
import type { TaskLogs } from '../../control-plane/src/ports/task-logs.ts'
import { cancelTask } from '../../control-plane/src/usecases/cancel-task.ts'
import { createTask, type AskedTask } from '../../control-plane/src/usecases/create-task.ts'
import { epochMs, Life, type Kernel } from '../world/kernel.ts'
import { Network } from '../world/network.ts'
import type { Database } from './database.ts'
import { HubShell } from './hub-shell.ts'
import { ObjectCell, Platform, type Instance } from './objects.ts'
import { TaskLogShell, type ReaderSocket, type StoredLog } from './task-log-shell.ts'

export const clusterId = 'hub'
const schemas = { hubUp: hubUpSchema, hubDown: hubDownSchema, taskUp: taskUpSchema, taskDown: taskDownSchema }

/** Who asks for everything. */
export const client: KeyActor = { key_id: 'key_simulated', project_ids: null, request_id: 'req_simulated' }

export interface RpcFaults {
  fails: number
  slowMs: number
}

export class ControlPlane {
  readonly kernel: Kernel
  readonly database: Database
  readonly platform: Platform
  readonly network: Network
  readonly rpcFaults: RpcFaults = { fails: 0, slowMs: 0 }
  /** Every frame against the wire's own schemas: slow, so not in every history. */
  strict = false
  /** Told of an event that a log took from a line older than one it had opened. */
  onStale: (taskId: string, attempt: number, what: string) => void = () => {}
  readonly #epochs = new Map<string, number>()
  readonly #failures = new Map<string, number>()
  readonly #readers = new Map<string, Set<ReaderSocket>>()

  constructor(kernel: Kernel, database: Database) {
    this.kernel = kernel
    this.database = database
    this.platform = new Platform(kernel)
    this.network = new Network(kernel, this.platform)
    this.platform.network = this.network
    this.platform.onReset = (name) => {
      for (const reader of this.#readers.get(name) ?? []) reader.cut()
      this.#readers.delete(name)
    }
    this.platform.route = (target) => {
      const [kind, id = '', attempt, epoch, expires] = target.split(' ')
      if (kind === 'hub') return this.hub
      if (attempt === undefined || epoch === undefined || Number(expires) <= this.now()) return closeCodes.unauthorized
      return this.log(id)
    }
  }

  /** Wall time of the control plane. */
  now(): number {
    return this.wall(this.kernel.now)
  }
  wall(virtualMs: number): number {
    return epochMs + virtualMs
  }

  /** The highest epoch that a log has opened a line of this attempt for. */
  newestEpoch(name: string): number {
    return this.#epochs.get(name) ?? 0
  }
  opened(name: string, epoch: number): void {
    this.#epochs.set(name, Math.max(epoch, this.newestEpoch(name)))
  }

  get hub(): ObjectCell<unknown> {
    return this.#cell(clusterId, (cell) => new HubShell(cell as ObjectCell<HubMemory>, this))
  }
  log(taskId: string): ObjectCell<unknown> {
    return this.#cell(taskId, (cell) => new TaskLogShell(cell as ObjectCell<StoredLog>, this))
  }
  storedLog(taskId: string): StoredLog | undefined {
    return this.platform.cells.get(taskId)?.stored as StoredLog | undefined
  }
  readersOf(taskId: string): Set<ReaderSocket> {
    let readers = this.#readers.get(taskId)
    if (readers === undefined) this.#readers.set(taskId, (readers = new Set()))
    return readers
  }

  #cell(name: string, wake: (cell: ObjectCell<unknown>) => Instance): ObjectCell<unknown> {
    let cell = this.platform.cells.get(name)
    if (cell === undefined) this.platform.cells.set(name, (cell = new ObjectCell<unknown>(this.platform, name, wake)))
    return cell
  }

  check(kind: keyof typeof schemas, frame: object): void {
    if (!this.strict) return
    const parsed = schemas[kind].safeParse(JSON.parse(JSON.stringify(frame)))
    if (!parsed.success) throw new Error(`a ${kind} frame is malformed: ${parsed.error.message} ${JSON.stringify(frame)}`)
  }

  signLine(taskId: string, attempt: number, epoch: number, expires: number): string {
    return `line ${taskId} ${attempt} ${epoch} ${expires}`
  }

  /** The platform does not refuse one object for ever: after four failures a call gets through. */
  #unlucky(name: string): boolean {
    const failures = this.#failures.get(name) ?? 0
    const fails = failures < 4 && this.kernel.random.maybe(this.rpcFaults.fails / 2)
    this.#failures.set(name, fails ? failures + 1 : 0)
    if (fails) this.kernel.count('call between objects failed')
    return fails
  }

  /** A call to another object: it may come late, not arrive, or its answer may be lost. */
  #rpc<Result>(from: Life, cell: ObjectCell<unknown>, work: (instance: Instance) => Result): Promise<Result> {
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
        let done: { readonly result: Result } | undefined
        cell.enter((instance) => {
          done = { result: work(instance) }
        })
        if (done === undefined || this.#unlucky(cell.name)) return answer(() => reject(new Error('the object broke')))
        const { result } = done
        answer(() => resolve(result))
      })
    })
  }

  logs(life: Life): Pick<TaskLogs, 'sync' | 'cancel'> & HubLogs {
    const call = <Result>(id: string, work: (log: TaskLogShell) => Result) =>
      this.#rpc(life, this.log(id), (instance) => work(instance as TaskLogShell))
    return {
      sync: (task) => call(task.id, (log) => log.sync(task)),
      cancel: (task, graceS) => call(task.id, (log) => log.cancel(task, graceS)),
      received: (task) => call(task.id, (log) => log.received(task)),
      end: (task, outcome) => call(task.id, (log) => log.end(task, outcome)),
    }
  }

  #poke(life: Life): Promise<void> {
    const poke = () => this.#rpc(life, this.hub, (instance) => (instance as HubShell).poke())
    return repeatPoke(
      poke,
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

  rowEnded(life: Life, _clusterId: string, ref: AttemptRef): Promise<void> {
    return this.#rpc(life, this.hub, (instance) => (instance as HubShell).ended(ref))
  }

  /** What a use case is given by somebody of that life. */
  depsOf(life: Life) {
    const { kernel, database } = this
    const hubs: Hubs = {
      poke: () => this.#poke(life),
      status: () => Promise.reject(new Error('nobody asks for it here')),
    }
    const { tasks, dispatch, sessions, projects } = database.stores
    return {
      tasks: database.port(tasks, life),
      dispatch: database.port(dispatch, life),
      sessions: database.port(sessions, life),
      projects: database.port(projects, life),
      hubs,
      logs: this.logs(life),
      clock: { now: () => this.now() },
      random: { chance: () => kernel.random.chance(), bytes: (count: number) => kernel.random.bytes(count) },
      log: () => {},
      providers: agentProviders,
    }
  }

  // What clients ask. An API call lives no longer than the program that answers it.

  #call<Result>(work: (life: Life) => Promise<Result>): Promise<Result> {
    this.kernel.touched()
    if (this.platform.down) return Promise.reject(new Error('nobody answers'))
    return work(new Life('api', this.platform.life))
  }

  create(asked: AskedTask): Promise<Task> {
    return this.#call((life) => createTask(this.depsOf(life), client, asked, ignore))
  }
  cancel(taskId: string): Promise<Task> {
    return this.#call((life) => cancelTask(this.depsOf(life), taskId, client, ignore))
  }
  /** As a reader of an ended or unknown log does: the row is read, and the log brought up to it. */
  bringUp(taskId: string): Promise<void> {
    return this.#call(async (life) => {
      const task = await this.depsOf(life).tasks.get(taskId, null)
      if (task) await this.logs(life).sync(task)
    })
  }
  /** Opens a reader's socket; false: nobody is there. */
  read(taskId: string, after: number, reader: ReaderSocket): boolean {
    if (this.platform.down) return false
    let done = false
    this.log(taskId).enter((instance) => {
      ;(instance as TaskLogShell).read(after, reader)
      done = true
    })
    return done
  }
}

const ignore = (work: Promise<void>): void => void work.catch(() => {})
