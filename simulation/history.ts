// One history from one seed: a world, a workload, some faults for a while, then no faults until everything must have ended, then the judge.

import type { Task } from '@rdev/shared/domain/task'
import { memoryStores } from '../control-plane/src/stores/memory/memory-stores.ts'
import { AgentProcess } from './agent/agent-process.ts'
import { SimulatedResources } from './agent/simulated-kind.ts'
import { client, clusterId, ControlPlane } from './control/control-plane.ts'
import { Database } from './control/database.ts'
import type { Platform } from './control/objects.ts'
import { Judge } from './judge/judge.ts'
import { Cluster } from './pods/cluster.ts'
import { faults as allFaults } from './world/faults.ts'
import { moments } from './world/moments.ts'
import { Kernel } from './world/kernel.ts'
import { Ledger } from './world/ledger.ts'
import type { Network } from './world/network.ts'
import { Random } from './world/random.ts'
import { LogReader } from './world/reader.ts'
import { drawWorkload, withLongTasks, type PlannedTask, type Workload } from './world/workload.ts'

export interface Outcome {
  readonly seed: number
  readonly violations: readonly string[]
  readonly counts: Readonly<Record<string, number>>
  readonly faults: readonly string[]
  readonly virtualMs: number
  readonly tasks: number
}

export interface RunOptions {
  /** Gets the trace of the history, line by line. */
  readonly trace?: (line: string) => void
  /** Check every frame with the wire's schemas. */
  readonly strict?: boolean
}

/** How long a history goes on after its faults: an attempt without an agent may live for the orphan TTL, and then for a lease. */
const mustEndMs = 4 * 60 * 60_000
/** An alarm that was set for an agent that did not come back may still come once. */
const settleMs = 60 * 60_000
const idleMs = 10 * 60_000

const restlessFaults = [
  'slow database',
  'statements repeated',
  'answers lost after commit',
  'acknowledgements cut',
  'disk full',
  'slow commands',
  'slow pods',
]

const movingFaults = [
  'pods replaced',
  'control plane killed',
  'objects reset',
  'agent killed',
  'two agents',
  'slow commands',
  'agent stopped for a while',
  'probes fail',
  'slow network',
]

export class History {
  readonly kernel: Kernel
  readonly ledger = new Ledger()
  readonly database: Database
  readonly plane: ControlPlane
  readonly cluster: Cluster
  readonly resources: SimulatedResources
  readonly judge: Judge
  readonly workload: Workload
  readonly lengthMs: number
  readonly faultNames: string[] = []
  readonly readers: LogReader[] = []
  readonly accepted = new Map<number, Task>()
  agents: AgentProcess[] = []
  readerCutMs = 0
  readonly #leaving = new Set<AgentProcess>()
  readonly #moving: boolean
  /** In some histories agents tell even small inventories in parts. */
  readonly #partChars: number | undefined
  #agentCount = 0

  constructor(seed: number, { trace, strict = false }: RunOptions) {
    // Two random streams, so that what is drawn at the beginning does not depend on what happens.
    const plan = new Random(seed * 2 + 1)
    this.kernel = new Kernel(seed * 2)
    this.kernel.trace = trace
    this.lengthMs = plan.pick([20_000, 60_000, 180_000, 600_000, 2_400_000])
    // Some histories are about races around another attempt: most processes fail, every task has a retry policy, rows are slow.
    const restless = plan.maybe(0.25)
    // Others are about pods, agents and objects that come and go at the same time.
    const moving = !restless && plan.maybe(0.35)
    this.#moving = moving
    this.#partChars = seed % 10 === 0 ? 500 : undefined
    this.workload = drawWorkload(plan, this.lengthMs * 0.7, restless)
    this.database = new Database(this.kernel, memoryStores({ now: () => this.plane.now() }))
    this.plane = new ControlPlane(this.kernel, this.database)
    this.plane.strict = strict
    this.cluster = new Cluster(this.kernel, this.ledger)
    this.resources = new SimulatedResources(this.kernel)
    this.judge = new Judge(this)
    const many = plan.int(1, 6)
    for (const fault of allFaults) {
      const often = (restless && restlessFaults.includes(fault.name)) || (moving && movingFaults.includes(fault.name))
      const likely = often ? 0.7 : (moving || restless) && moments.includes(fault) ? 0.25 : many / allFaults.length
      if (plan.chance() < likely) this.faultNames.push(fault.name)
    }
    if (this.faultNames.includes('keys revoked')) this.workload = withLongTasks(plan, this.workload)
  }

  get network(): Network {
    return this.plane.network
  }
  get platform(): Platform {
    return this.plane.platform
  }
  get podNames(): readonly string[] {
    return this.workload.pods.map(({ name }) => name)
  }
  /** Faults come more often in short histories. */
  scaled(meanMs: number): number {
    return Math.min(this.#moving ? meanMs / 4 : meanMs, this.lengthMs / 4)
  }

  async run(): Promise<void> {
    const { kernel } = this
    kernel.say(
      'history',
      () => `${this.workload.tasks.length} tasks, faults for ${this.lengthMs / 1000} s: ${this.faultNames.join(', ') || 'none'}`,
    )
    for (const pod of this.workload.pods) this.cluster.add(pod)
    await this.database.stores.projects.report(
      clusterId,
      [...this.cluster.pods.values()].map((pod) => pod.inventory),
      [...this.cluster.pods.values()].flatMap(({ inventory }) => inventory.project_id ?? []),
    )
    for (const [id, limits] of this.workload.limits) await this.database.stores.projects.change(id, client, { ...limits, allow_pool: true })
    await this.plane.keys.replace(this.plane.now())
    this.startAgent()
    for (const fault of allFaults) {
      if (this.faultNames.includes(fault.name)) {
        kernel.count(`fault: ${fault.name}`)
        fault.begin(this, this.lengthMs)
      }
    }
    this.workload.tasks.forEach((task, index) => kernel.after(task.atMs, kernel.world, () => this.#ask(task, index)))
    for (let i = kernel.random.int(0, 4); i > 0; i--) {
      kernel.after(kernel.random.skewed(0, this.lengthMs), kernel.world, () => this.#changeResources())
    }
    await kernel.runUntil(this.lengthMs)
    this.#heal()
    const deadline = kernel.now + mustEndMs
    while (kernel.now < deadline && !(await this.judge.allEnded())) await kernel.runUntil(kernel.now + 20_000)
    // As objects do that are idle: what they must know of it is in storage, or their next alarm wakes them for nothing.
    this.platform.faults.sleep = 1
    await kernel.runUntil(kernel.now + settleMs)
    for (const task of await this.judge.rows()) void this.plane.bringUp(task.id).catch(() => {})
    kernel.touched()
    await kernel.runUntil(kernel.now + 60_000)
    const before = { statements: this.database.statements, entries: this.platform.entries }
    kernel.say('history', () => 'nothing is left to be done: an idle stretch begins')
    await kernel.runUntil(kernel.now + idleMs)
    await this.judge.verdict(this.database.statements - before.statements, this.platform.entries - before.entries)
  }

  /** Ends all faults. */
  #heal(): void {
    const { kernel, network, platform, database, plane, cluster } = this
    kernel.say('history', () => 'all faults are healed')
    Object.assign(network.faults, { slowMs: 0, upBlocked: false, downBlocked: false, unfaithful: 0, resultCut: 0 })
    Object.assign(platform.faults, { crash: 0, sleep: 0, alarmLate: 0, alarmFails: 0 })
    Object.assign(database.faults, { away: false, failBefore: 0, failAfter: 0, slow: 0, repeated: 0, refused: 0, claimHeld: 0 })
    this.resources.fails = 0
    Object.assign(plane.rpcFaults, { fails: 0, slowMs: 0 })
    Object.assign(cluster.faults, { lost: 0, late: 0, slowMs: 0, away: false })
    Object.assign(cluster.podFaults, { slow: 0, diskFull: 0, supervisorDies: 0, noBinary: 0, impostor: 0, crowds: 0 })
    this.readerCutMs = 0
    network.listeners.length = 0
    network.unblocked()
    for (const pod of cluster.pods.values()) {
      pod.reachable = true
      // A missing binary must be installed; it does not come by itself.
      if (!pod.binary) cluster.replace(pod.name, false, 100)
      else if (pod.life.dead) pod.restart()
    }
    cluster.changed()
    // One agent stays, with a key that is valid.
    const [first, ...others] = this.agents.toSorted((a, b) => Number(this.#isRefused(a)) - Number(this.#isRefused(b)))
    for (const agent of [...others, ...this.#leaving]) this.#kill(agent)
    if (first !== undefined && this.#isRefused(first)) {
      this.#kill(first)
      return void this.startAgent()
    }
    if (first === undefined) this.startAgent()
    else kernel.cont(first.life)
  }

  #ask(planned: PlannedTask, index: number): void {
    const { kernel, plane } = this
    const before = planned.continues === null ? undefined : this.accepted.get(planned.continues)
    const asked = { ...planned.asked, session_id: before?.spec.session_id ?? null }
    plane.create(asked).then(
      (task) => {
        this.accepted.set(index, task)
        this.judge.accepted(task)
        kernel.say(
          'client',
          () =>
            `${task.id} is accepted: ${task.spec.kind}, ${task.spec.target}, retry ${task.spec.retry.max_attempts} on ${task.spec.retry.on.join('/') || 'nothing'}`,
        )
        for (let i = 0; i < planned.readers; i++) {
          const reader = new LogReader(kernel, plane, task.id, () => this.readerCutMs)
          this.readers.push(reader)
          kernel.after(kernel.random.skewed(0, 60_000), kernel.world, () => reader.open())
        }
        if (planned.cancelAfterMs !== null) kernel.after(planned.cancelAfterMs, kernel.world, () => this.cancel(task.id))
      },
      () => kernel.count('not accepted'),
    )
  }

  /** Cancels a task as a client does: a failed request is repeated. */
  cancel(taskId: string, tries = 0): void {
    const { kernel } = this
    kernel.say('client', () => `cancels ${taskId}`)
    kernel.count('cancel')
    this.plane.cancel(taskId).catch(() => {
      if (tries < 5) kernel.after(kernel.random.int(500, 5_000), kernel.world, () => this.cancel(taskId, tries + 1))
    })
  }

  /** Repeated until the hub has received it; while the control plane is down, the change waits too. */
  #changeResources(tries = 0): void {
    const { kernel } = this
    kernel.count('resources changed')
    this.plane.changeResources().catch(() => {
      if (tries < 50) kernel.after(kernel.random.int(500, 60_000), kernel.world, () => this.#changeResources(tries + 1))
    })
  }

  // Agents.

  startAgent(): AgentProcess {
    const agent = new AgentProcess(
      this.kernel,
      this.network,
      this.cluster,
      this.resources,
      `agent ${++this.#agentCount}`,
      this.plane.keys.current,
      this.#partChars,
    )
    this.agents.push(agent)
    agent.start()
    return agent
  }

  #isRefused(agent: AgentProcess): boolean {
    return !this.plane.keys.isValid(agent.keyId)
  }

  /** The operator makes a new key, starts an agent with it soon or late, and revokes the old key. Agents that have the old one go on for a while. */
  async replaceKey(): Promise<void> {
    const { kernel, plane } = this
    const { random } = kernel
    const old = plane.keys.current
    if (this.agents.every(({ keyId }) => keyId !== old)) return
    await plane.keys.replace(plane.now())
    // Often nobody takes the place of who has the old key, so its sockets are not superseded.
    kernel.after(random.maybe(0.3) ? random.skewed(0, 120_000) : random.int(200_000, 900_000), kernel.world, () => {
      // After the faults one agent with a valid key is there.
      if (kernel.now >= this.lengthMs) return
      if (this.agents.every((agent) => this.#isRefused(agent) || agent.keyId === old)) this.startAgent()
    })
    const revoke = (tries: number): void => {
      if (kernel.now >= this.lengthMs) return
      // While something runs: afterwards the sockets of an idle cluster are of no use to anybody.
      const idle = this.ledger.processes.every(({ emptyAt }) => emptyAt !== null)
      if (idle && tries < 100) return void kernel.after(2_000, kernel.world, () => revoke(tries + 1))
      kernel.count('key revoked')
      kernel.say('client', () => `revokes ${old}`)
      void plane.keys.revoke(old, plane.now())
      // The hint is lost, or the revocation was made by a Worker that died.
      if (random.maybe(0.3)) plane.tellRevoked(old).catch(() => kernel.count('hub was not told of a revoked key'))
    }
    kernel.after(random.skewed(0, 30_000), kernel.world, () => revoke(0))
    kernel.after(random.int(200_000, 900_000), kernel.world, () => {
      for (const agent of this.agents.filter(({ keyId }) => keyId === old)) this.retire(agent)
    })
  }

  #kill(agent: AgentProcess): void {
    if (agent.life.dead) return
    agent.kill()
    this.agents = this.agents.filter((each) => each !== agent)
  }

  killAgent(awayMs: number): void {
    const agent = this.agents.at(-1)
    if (agent === undefined) return
    this.kernel.count('agent killed')
    this.#kill(agent)
    this.kernel.after(awayMs, this.kernel.world, () => {
      if (this.agents.length === 0) this.startAgent()
    })
  }

  /** SIGSTOP and CONT; meanwhile another agent may take over. */
  stopAgent(forMs: number, another: boolean, agent = this.agents[0]): void {
    if (agent === undefined || agent.life.stopped) return
    this.kernel.count('agent stopped')
    agent.say(() => `is stopped for ${forMs} ms${another ? ', and another is started' : ''}`)
    agent.life.stop()
    if (another) this.startAgent()
    this.kernel.after(forMs, this.kernel.world, () => {
      if (agent.life.dead) return
      agent.say(() => 'goes on')
      this.kernel.cont(agent.life)
      if (another) this.kernel.after(this.kernel.random.skewed(1, 60_000), this.kernel.world, () => this.retire(agent))
    })
  }

  /** Most agents leave their attempts running; some are told to end them. */
  upgradeAgent(newFirst: boolean, attempts: 'go on' | 'end' = this.kernel.random.maybe(0.2) ? 'end' : 'go on'): void {
    const agent = this.agents[0]
    if (agent === undefined || agent.life.stopped) return
    this.kernel.count('agent upgraded')
    if (newFirst) this.startAgent()
    this.#leave(agent, attempts, () => {
      if (this.agents.length === 0) this.startAgent()
    })
  }

  #leave(agent: AgentProcess, attempts: 'go on' | 'end', done: () => void): void {
    this.agents = this.agents.filter((each) => each !== agent)
    this.#leaving.add(agent)
    agent.leave(attempts, () => {
      this.#leaving.delete(agent)
      done()
    })
  }

  /** Ends one of several agents; the last one stays. */
  retire(agent: AgentProcess): void {
    if (this.agents.length < 2 || !this.agents.includes(agent)) return
    if (agent.life.stopped || this.kernel.random.maybe(0.5)) return this.#kill(agent)
    this.#leave(agent, 'go on', () => {})
  }
}

export async function runSeed(seed: number, options: RunOptions = {}): Promise<Outcome> {
  const history = new History(seed, options)
  let broke: string | undefined
  try {
    await history.run()
  } catch (error) {
    broke = `the product threw: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`
  }
  const { kernel, judge, faultNames, accepted } = history
  const violations = broke === undefined ? judge.violations : [broke, ...judge.violations]
  return { seed, violations, counts: kernel.counts, faults: faultNames, virtualMs: kernel.now, tasks: accepted.size }
}
