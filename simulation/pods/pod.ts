// A model of a pod: a disk with attempt directories and floors, and the commands of cluster-agent/src/pods (start, wait, stop, list, remove,
// read), each divided into the steps that can interleave with those of another command.

import { orphanTtlS } from '@rdev/shared/domain/limits'
import { parseAttemptName } from '@rdev/shared/domain/ids'
import type { ExitRecord } from '@rdev/shared/domain/attempt'
import type { Pod } from '@rdev/shared/domain/pod'
import { epochMs, Life, type Kernel } from '../world/kernel.ts'
import type { Ledger } from '../world/ledger.ts'
import { planOf, type ProcessPlan } from '../world/plan.ts'
import { AttemptDirectory, type Reason } from './attempt-directory.ts'

export interface PodFaults {
  slow: number
  /** A start finds the disk full. */
  diskFull: number
  /** The probability that the supervisor is killed while its main process takes the orders. */
  supervisorDies: number
  /** The probability that a new pod has no binary of the code agent. */
  noBinary: number
  /** The probability that a process takes the place of its supervisor: it never ends by itself, has no time limit, and looks well watched. */
  impostor: number
  /** So many lists more have the names of thousands of directories that a task made. */
  crowds: number
}

/** More names than fit into a frame. */
const crowd = Array.from({ length: 12_000 }, (_, index) => ({
  name: `task_000000000000000000${String(index).padStart(8, '0')}.1`,
  state: 'exited' as const,
}))

export interface Disk {
  /** The id of the home on it. */
  readonly home: string
  readonly directories: Map<string, AttemptDirectory>
  readonly floors: Map<string, number>
  contactAt: number
}
export const newDisk = (home: string, now: number): Disk => ({ home, directories: new Map(), floors: new Map(), contactAt: now })

export interface StartOrder {
  readonly name: string
  readonly owner: string
  /** Its last line is the plan of the process. A line `claude` before it needs the binary. */
  readonly script: string
  readonly timeoutMs: number
  readonly lock: string | null
  /** It is not started in a pod with another home. */
  readonly home: string | undefined
}
export interface PodList {
  readonly home: string
  readonly found: readonly { readonly name: string; readonly state: 'running' | 'exited' | 'broken' }[]
}
export type StartAnswer = 'started' | 'exists' | 'floor' | 'busy' | 'failed'

export class SimPod {
  readonly kernel: Kernel
  readonly ledger: Ledger
  readonly name: string
  readonly uid: string
  readonly role: Pod['role']
  readonly projectId: string | null
  readonly slots: number
  readonly orphanTtlMs: number
  readonly faults: PodFaults
  disk: Disk
  /** The life of the container. */
  life: Life
  /** Whether the network to its node works. */
  reachable = true
  /** The state of its readiness probe. */
  probed = true
  /** Whether it has the code agent's binary. */
  readonly binary: boolean
  /** Whether the inventory tells that it has the binary. */
  readonly labelled: boolean
  /** Its clock minus the true one. */
  skewMs = 0
  readonly #streams = new Set<() => void>()

  constructor(
    kernel: Kernel,
    ledger: Ledger,
    facts: Omit<Pod, 'ready' | 'providers' | 'allow_bypass_permissions'>,
    faults: PodFaults,
    disk: Disk,
  ) {
    this.kernel = kernel
    this.ledger = ledger
    this.name = facts.name
    this.uid = facts.uid
    this.role = facts.role
    this.projectId = facts.project_id
    this.slots = facts.slots
    this.orphanTtlMs = orphanTtlS * 1000
    this.faults = faults
    this.disk = disk
    this.binary = !kernel.random.maybe(faults.noBinary)
    this.labelled = !kernel.random.maybe(faults.noBinary)
    this.life = new Life(`pod ${facts.name}/${facts.uid}`, kernel.world)
  }

  get inventory(): Pod {
    const { name, uid, role, slots } = this
    const facts = {
      name,
      uid,
      role,
      project_id: this.projectId,
      slots,
      providers: this.labelled ? ['claude-code' as const] : [],
      allow_bypass_permissions: false,
    }
    return { ...facts, ready: this.probed && this.reachable && !this.life.dead }
  }

  wall(): number {
    return epochMs + this.kernel.now + this.skewMs
  }

  /** Calls `listener` when the streams into it are cut. Answers a function that ends that. */
  onCut(cut: () => void): () => void {
    this.#streams.add(cut)
    return () => this.#streams.delete(cut)
  }
  cutStreams(): void {
    const streams = [...this.#streams]
    this.#streams.clear()
    for (const cut of streams) cut()
  }

  contact(): void {
    this.disk.contactAt = this.kernel.now
  }

  /** Every process in it ends at once: its container restarts, its node reboots, or it is deleted. */
  endContainer(): void {
    this.life.die()
    this.cutStreams()
    for (const directory of this.disk.directories.values()) directory.tree?.vanish()
  }
  restart(): void {
    this.life = new Life(`pod ${this.name}/${this.uid}`, this.kernel.world)
  }

  #pause(): number {
    const { random } = this.kernel
    return random.maybe(this.faults.slow) ? random.skewed(0, 4_000) : random.int(0, 2)
  }

  start({ name, owner, script, timeoutMs, lock, home }: StartOrder, answer: (outcome: StartAnswer) => void): void {
    const ref = parseAttemptName(name)!
    const { disk, kernel } = this
    const floor = () => disk.floors.get(ref.task_id) ?? 0
    /** Whether another attempt, which is signed and has no record yet, holds the working copy. */
    const busy = () =>
      lock !== null &&
      [...disk.directories.values()].some(
        (other) => other.lock === lock && other.name !== name && other.owner !== undefined && other.exit === undefined,
      )
    if (home !== undefined && home !== disk.home) return answer('failed')
    if (ref.attempt < floor()) return answer('floor')
    let directory = disk.directories.get(name)
    if (busy() && directory?.owner === undefined) return answer('busy')
    if (directory === undefined) disk.directories.set(name, (directory = new AttemptDirectory(this, name, ref.task_id, ref.attempt)))
    kernel.after(this.#pause(), this.life, () => {
      // Read the floor again: a remove may have raised it meanwhile, before this directory existed.
      if (ref.attempt < floor()) {
        if (disk.directories.get(name)?.owner === undefined) disk.directories.delete(name)
        return answer('floor')
      }
      const here = disk.directories.get(name)
      if (here === undefined) return answer('failed')
      if (here.owner !== undefined) return answer(here.owner === owner ? 'started' : 'exists')
      if (kernel.random.maybe(this.faults.diskFull)) {
        kernel.count('disk full')
        disk.directories.delete(name)
        return answer('failed')
      }
      here.owner = owner
      here.lock = lock
      if (busy()) {
        disk.directories.delete(name)
        return answer('busy')
      }
      disk.floors.set(ref.task_id, Math.max(floor(), ref.attempt))
      this.contact()
      here.ordered(this.#planOf(script, ref.attempt), timeoutMs)
      answer('started')
    })
  }

  #planOf(script: string, attempt: number): ProcessPlan {
    const lines = script.trimEnd().split('\n')
    const plan = planOf(lines.at(-1)!, attempt)
    if (this.binary || lines.at(-2) !== 'claude') return plan
    this.kernel.count('binary missing')
    return { ...plan, writes: [], endsAfterMs: 1, exitCode: 127, childMs: 0 }
  }

  /** Runs a script once; the model knows only one script. Answers its exit code. */
  run(script: string): number {
    return script === 'command -v claude' && this.binary ? 0 : 1
  }

  /** Answers when there is a record, or no directory of the attempt. */
  wait(name: string, session: { readonly dead: boolean }, answer: (record: ExitRecord | 'gone') => void): void {
    const directory = this.disk.directories.get(name)
    if (directory === undefined) return answer('gone')
    let idleRounds = 0
    let burying = false
    let answered = false
    const { life } = this
    const look = (): void => {
      if (answered || session.dead || life.dead) return void unwatch()
      if (directory.exit !== undefined) {
        answered = true
        unwatch()
        return answer(directory.exit)
      }
      if (this.disk.directories.get(name) !== directory) {
        answered = true
        unwatch()
        return answer('gone')
      }
      if (directory.alive || burying) return
      const bury = () => {
        burying = true
        directory.bury(look)
      }
      if (directory.begun !== undefined && directory.owner !== undefined) return bury()
      // It has not begun for five seconds: create `begun`, so that it never can.
      idleRounds++
      burying = true
      this.kernel.after(5_000, life, () => {
        burying = false
        if (directory.exit !== undefined || directory.alive) return look()
        if (directory.begun === undefined) {
          directory.begun = 'by a burial'
          return bury()
        }
        if (idleRounds >= 2) return bury()
        look()
      })
    }
    const unwatch = directory.watch(look)
    look()
  }

  stop(name: string, graceMs: number, reason: Reason, answer: () => void): void {
    const directory = this.disk.directories.get(name)
    const life = new Life('stop', this.life)
    const again = () => {
      const now = this.disk.directories.get(name)
      if (directory === undefined || now !== directory || directory.exit !== undefined) return answer()
      if (!directory.alive) {
        this.wait(name, life, () => answer())
        return
      }
      if (directory.begun !== undefined && directory.reason === undefined) directory.end(reason, graceMs)
      this.kernel.after(directory.begun === undefined ? 20 : 250, this.life, again)
    }
    again()
  }

  list(answer: (list: PodList) => void, tries = 0): void {
    const all = [...this.disk.directories.values()]
    // The main process may be taking its orders.
    if (tries < 40 && all.some((each) => each.exit === undefined && !each.alive && each.begun === undefined)) {
      this.kernel.after(50, this.life, () => this.list(answer, tries + 1))
      return
    }
    const found = all.map((each) => ({ name: each.name, state: stateOf(each) }))
    const crowded = this.faults.crowds > 0 && this.kernel.random.maybe(0.2)
    if (crowded) this.faults.crowds--
    answer({ home: this.disk.home, found: crowded ? [...found, ...crowd] : found })
  }

  /** Refuses an attempt, so that it can never start here, unless it exists already. */
  refuse(name: string, answer: (state: 'refused' | 'there') => void): void {
    const ref = parseAttemptName(name)!
    const { directories, floors } = this.disk
    if (directories.has(name)) return answer('there')
    floors.set(ref.task_id, Math.max(floors.get(ref.task_id) ?? 0, ref.attempt + 1))
    answer('refused')
  }

  remove(name: string, answer: (done: boolean) => void): void {
    const ref = parseAttemptName(name)!
    const { directories, floors } = this.disk
    const directory = directories.get(name)
    if (directory !== undefined && directory.exit === undefined) return answer(false)
    floors.set(ref.task_id, Math.max(floors.get(ref.task_id) ?? 0, ref.attempt + 1))
    directories.delete(name)
    directory?.changed()
    answer(true)
  }
}

const stateOf = (directory: AttemptDirectory): PodList['found'][number]['state'] =>
  directory.exit !== undefined ? 'exited' : directory.alive ? 'running' : 'broken'
