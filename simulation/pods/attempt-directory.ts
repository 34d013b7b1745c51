// A model of one attempt directory and its supervisor (cluster-agent/src/pods/supervisor.sh): the first to create `supervisor` may start, the
// first to create `begun` decides whether it runs, the first `reason` wins, and the record is written once, when the tree is empty.

import type { ExitRecord } from '@rdev/shared/domain/attempt'
import { Life } from '../world/kernel.ts'
import type { ProcessPlan } from '../world/plan.ts'
import type { SimPod } from './pod.ts'
import { ProcessTree, type ProcessOwner } from './process.ts'

export type Reason = ExitRecord['reason']

const guardEveryMs = 3_000

export class AttemptDirectory implements ProcessOwner {
  readonly name: string
  readonly taskId: string
  readonly attempt: number
  #pod: SimPod
  /** The files live as long as the disk. */
  owner: string | undefined
  begun: 'by the process' | 'by a burial' | undefined
  reason: { readonly why: Reason; readonly killAt: number } | undefined
  exit: ExitRecord | undefined
  /** The lock of the working copy, which it holds until it has a record. */
  lock: string | null = null
  stdout = ''
  stderr = ''
  /** The supervisor and its guard. */
  supervisor: Life | undefined
  tree: ProcessTree | undefined
  /** The container that it ran in. */
  #container: Life | undefined
  /** The guard goes on when only the supervisor is killed. */
  #guarded = true
  #exitCode = -1
  #startedAt = 0
  readonly #watchers = new Set<() => void>()

  constructor(pod: SimPod, name: string, taskId: string, attempt: number) {
    this.#pod = pod
    this.name = name
    this.taskId = taskId
    this.attempt = attempt
  }

  /** A later pod of the same name has the disk now. */
  movedTo(pod: SimPod): void {
    this.#pod = pod
  }

  get alive(): boolean {
    return this.supervisor !== undefined && !this.supervisor.dead
  }

  /** Calls `listener` when output, record or supervisor change. Answers a function that ends that. */
  watch(changed: () => void): () => void {
    this.#watchers.add(changed)
    return () => this.#watchers.delete(changed)
  }
  changed(): void {
    // A copy, because listeners may be added or removed meanwhile.
    const watchers = [...this.#watchers]
    for (const watcher of watchers) watcher()
  }

  /** Sends the orders to the waiting main process. */
  ordered(plan: ProcessPlan, timeoutMs: number): void {
    const { kernel, life } = this.#pod
    const supervisor = new Life('supervisor', life)
    this.supervisor = supervisor
    const { random } = kernel
    const pause = () => (random.maybe(this.#pod.faults.slow) ? random.skewed(1, 8_000) : random.int(1, 4))
    // The main process checks that its supervisor lives, and creates `begun` a moment later. The supervisor may die in between.
    kernel.after(pause(), supervisor, () => {
      if (random.maybe(this.#pod.faults.supervisorDies)) this.killSupervisor(random.maybe(0.5))
      const alone = supervisor.dead ? random.skewed(1, 20_000) : pause()
      kernel.after(alone, life, () => this.#begin(plan, timeoutMs, supervisor, life))
    })
  }

  #begin(plan: ProcessPlan, timeoutMs: number, supervisor: Life, life: Life): void {
    const { kernel } = this.#pod
    if (this.begun !== undefined) {
      // Another has created `begun`.
      supervisor.die()
      return this.changed()
    }
    this.begun = 'by the process'
    this.#container = life
    this.#startedAt = kernel.now
    const impostor = !supervisor.dead && kernel.random.maybe(this.#pod.faults.impostor)
    const facts = { task_id: this.taskId, attempt: this.attempt, pod: this.#pod.name, uid: this.#pod.uid, lock: this.lock, impostor }
    kernel.say(
      `pod ${this.#pod.name}/${this.#pod.uid}`,
      () => `PROCESS of ${this.name} starts${supervisor.dead ? ', without its supervisor' : ''}`,
    )
    // It never ends by itself, and no supervisor ends it.
    const its = impostor ? { ...plan, endsAfterMs: 24 * 3_600_000, childMs: 0 } : plan
    this.tree = new ProcessTree(kernel, this.#pod.ledger, life, facts, its, this)
    if (impostor) return kernel.count('impostor')
    kernel.after(timeoutMs, supervisor, () => this.end('timeout', 5_000))
    if (!supervisor.dead) this.#guard(supervisor)
    else if (this.#guarded) kernel.after(kernel.random.int(50, guardEveryMs), life, () => this.exit === undefined && this.bury(() => {}))
  }

  #guard(supervisor: Life): void {
    this.#pod.kernel.after(guardEveryMs, supervisor, () => {
      if (this.exit !== undefined) return
      if (this.#pod.kernel.now - this.#pod.disk.contactAt > this.#pod.orphanTtlMs) this.end('orphaned', 5_000)
      this.#guard(supervisor)
    })
  }

  /** INT at once, TERM after half of the grace, KILL at its end. The first reason wins. */
  end(why: Reason, graceMs: number): void {
    const { kernel, life } = this.#pod
    this.reason ??= { why, killAt: kernel.now + graceMs }
    const { tree } = this
    if (tree === undefined || tree.empty) return
    tree.signal('INT')
    kernel.after(graceMs / 2, life, () => tree.signal('TERM'))
    kernel.after(graceMs, life, () => tree.signal('KILL'))
  }

  wrote(stream: 'stdout' | 'stderr', text: string): void {
    this[stream] += text
    this.changed()
  }

  mainEnded(exitCode: number): void {
    this.#exitCode = exitCode
    if (!this.alive || this.tree?.facts.impostor) return
    const { kernel } = this.#pod
    this.reason ??= { why: 'exited', killAt: kernel.now + 1_000 }
    const { killAt } = this.reason
    this.tree?.signal('TERM')
    kernel.after(killAt - kernel.now, this.#pod.life, () => this.tree?.signal('KILL'))
  }

  emptied(): void {
    if (!this.alive) return
    const { kernel } = this.#pod
    const { supervisor } = this
    if (this.tree?.facts.impostor) {
      supervisor!.die()
      return this.changed()
    }
    // Looking at the tree and writing the record take time.
    kernel.after(kernel.random.int(1, 20), supervisor!, () => {
      this.#record(this.#exitCode, this.reason?.why ?? 'exited')
      supervisor!.die()
      this.changed()
    })
  }

  /** The supervisor is gone and left no record: kills what is left and writes one. Safe to do twice. */
  bury(done: () => void): void {
    const { kernel, life } = this.#pod
    kernel.count('burial')
    this.tree?.signal('KILL')
    kernel.after(kernel.random.int(5, 60), life, () => {
      if (this.exit === undefined) this.#record(-1, this.#container?.dead === true ? 'container_gone' : 'supervisor_died')
      this.changed()
      done()
    })
  }

  /** Kills the supervisor; its guard notices, unless it is killed too. */
  killSupervisor(guardToo: boolean): void {
    if (!this.alive || this.exit !== undefined) return
    const { kernel, life } = this.#pod
    kernel.say(`pod ${this.#pod.name}/${this.#pod.uid}`, () => `supervisor of ${this.name} is killed${guardToo ? ', and its guard' : ''}`)
    kernel.count('supervisor killed')
    this.supervisor?.die()
    this.#guarded = !guardToo
    this.changed()
    if (!guardToo && this.begun !== undefined) {
      kernel.after(kernel.random.int(50, guardEveryMs), life, () => this.exit === undefined && this.bury(() => {}))
    }
  }

  #record(exitCode: number, reason: Reason): void {
    const wall = this.#pod.wall()
    const ranMs = this.#startedAt === 0 ? 0 : this.#pod.kernel.now - this.#startedAt
    this.exit = {
      exit_code: exitCode,
      stdout_bytes: this.stdout.length,
      stderr_bytes: this.stderr.length,
      started_at: wall - ranMs,
      ended_at: wall,
      reason,
    }
    if (this.tree) this.tree.facts.record = this.exit
    this.#pod.kernel.say(`pod ${this.#pod.name}/${this.#pod.uid}`, () => `${this.name} has ended: ${reason}, exit code ${exitCode}`)
  }
}
