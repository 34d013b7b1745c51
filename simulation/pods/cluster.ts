// The Kubernetes of a history: pods by name, as exec and the inventory see them.

import type { Pod } from '@rdev/shared/domain/pod'
import type { Kernel, Life } from '../world/kernel.ts'
import type { Ledger } from '../world/ledger.ts'
import { newDisk, SimPod, type PodFaults } from './pod.ts'

export interface ExecFaults {
  /** The probability that a command, or its answer, does not arrive. */
  lost: number
  /** The probability that a command that seems lost still arrives, up to 90 s later. */
  late: number
  slowMs: number
  /** The API server is away: no command arrives and no inventory comes. */
  away: boolean
}

/** The shell in which a command runs. Its end ends everything that waits in it. */
export interface Session {
  readonly dead: boolean
}

interface Watcher {
  readonly life: Life
  readonly tell: (pods: readonly Pod[]) => void
}

export class Cluster {
  readonly kernel: Kernel
  readonly ledger: Ledger
  readonly faults: ExecFaults = { lost: 0, late: 0, slowMs: 0, away: false }
  readonly podFaults: PodFaults = { slow: 0, diskFull: 0, supervisorDies: 0, noBinary: 0, impostor: 0, crowds: 0 }
  readonly pods = new Map<string, SimPod>()
  readonly #watchers = new Set<Watcher>()
  #uids = 0
  #startsHeldUntil = 0

  constructor(kernel: Kernel, ledger: Ledger) {
    this.kernel = kernel
    this.ledger = ledger
  }

  add(facts: { name: string; role: Pod['role']; project_id: string | null; slots: number }): void {
    const uid = `u${++this.#uids}`
    this.pods.set(
      facts.name,
      new SimPod(this.kernel, this.ledger, { ...facts, uid }, this.podFaults, newDisk(`home ${uid}`, this.kernel.now)),
    )
  }

  /** Replaces a pod by a later one of the same name, with an empty disk or with the earlier pod's disk (a volume). */
  replace(name: string, keepDisk: boolean, absentMs: number): void {
    const old = this.pods.get(name)
    if (old === undefined) return
    this.kernel.count('pod replaced')
    this.kernel.say(
      `pod ${name}/${old.uid}`,
      () => `is deleted; ${keepDisk ? 'its disk stays' : 'its disk too'}; another comes in ${absentMs} ms`,
    )
    old.endContainer()
    this.ledger.gone.set(old.uid, this.kernel.now)
    this.pods.delete(name)
    if (absentMs > 0) this.changed()
    this.kernel.after(absentMs, this.kernel.world, () => {
      const uid = `u${++this.#uids}`
      const facts = { name, uid, role: old.role, project_id: old.projectId, slots: old.slots }
      const disk = keepDisk ? old.disk : newDisk(`home ${uid}`, this.kernel.now)
      const fresh = new SimPod(this.kernel, this.ledger, facts, this.podFaults, disk)
      if (keepDisk) for (const directory of disk.directories.values()) directory.movedTo(fresh)
      this.pods.set(name, fresh)
      this.changed()
    })
  }

  /** Commands that start attempts reach their pods no earlier than this. */
  holdStarts(forMs: number): void {
    this.#startsHeldUntil = this.kernel.now + forMs
  }
  whenStartsPass(run: () => void): void {
    const waitMs = this.#startsHeldUntil - this.kernel.now
    if (waitMs <= 0) return run()
    this.kernel.after(waitMs, this.kernel.world, run)
  }

  /** The pod's readiness probe fails for a while; nothing else changes. */
  failProbe(name: string, forMs: number): void {
    const pod = this.pods.get(name)
    if (pod === undefined || !pod.probed) return
    this.kernel.count('probe failed')
    pod.probed = false
    this.changed()
    this.kernel.after(forMs, this.kernel.world, () => {
      pod.probed = true
      this.changed()
    })
  }

  watch(life: Life, tell: (pods: readonly Pod[]) => void): void {
    const watcher = { life, tell }
    this.#watchers.add(watcher)
    this.#tell(watcher)
  }

  /** Tells every watcher the whole inventory, a little later. */
  changed(): void {
    for (const watcher of this.#watchers) this.#tell(watcher)
  }

  #tell(watcher: Watcher): void {
    if (watcher.life.dead) return void this.#watchers.delete(watcher)
    const { random } = this.kernel
    const delayMs = this.faults.slowMs > 0 && random.maybe(0.3) ? random.skewed(1, 20_000) : random.skewed(1, 200)
    this.kernel.after(delayMs, watcher.life, () => {
      // While the API server is away, the watcher asks again.
      if (this.faults.away) this.kernel.after(1_000, watcher.life, () => this.#tell(watcher))
      else watcher.tell([...this.pods.values()].map((pod) => pod.inventory))
    })
  }

  /**
   * One command to a pod. `work` runs in the pod and answers by `reply`. `answered` or `failed` is called once, unless the caller dies before.
   */
  exec<Answer>(
    asker: Life,
    name: string,
    boundMs: number,
    work: (pod: SimPod, reply: (answer: Answer) => void, session: Session) => void,
    answered: (answer: Answer) => void,
    failed: () => void,
  ): void {
    const { kernel, faults } = this
    const { random } = kernel
    let open = true
    let uncut = (): void => {}
    const close = (): boolean => {
      if (!open) return false
      open = false
      uncut()
      return true
    }
    const fail = (delayMs: number) => kernel.after(delayMs, asker, () => close() && failed())
    // The name is looked up when the command is sent; after that it is on its way to that pod.
    const pod = this.pods.get(name)
    const arrive = (tell: boolean) => {
      if (pod === undefined || !pod.reachable || pod.life.dead || faults.away) return void fail(random.int(1, 500))
      pod.contact()
      const { life } = pod
      const session: Session = {
        get dead() {
          return !open || asker.dead || life.dead
        },
      }
      // A cut stream ends the question and proves nothing.
      if (tell && open) uncut = pod.onCut(() => fail(random.int(1, 500)))
      work(
        pod,
        (answer) => {
          if (!tell || !pod.reachable || faults.away) return void fail(random.int(1, 500))
          kernel.after(random.int(1, 3), asker, () => close() && answered(answer))
        },
        session,
      )
    }
    if (boundMs !== Infinity) fail(boundMs)
    const delayMs = 1 + random.int(0, 3) + (faults.slowMs > 0 && random.maybe(0.2) ? random.skewed(0, faults.slowMs) : 0)
    if (!random.maybe(faults.lost)) return void kernel.after(delayMs, kernel.world, () => arrive(true))
    if (random.maybe(0.5)) {
      kernel.count('exec: answer lost')
      fail(delayMs + random.skewed(1, 10_000))
      return void kernel.after(delayMs, kernel.world, () => arrive(false))
    }
    fail(delayMs)
    if (random.maybe(faults.late)) {
      kernel.count('exec: arrives late')
      kernel.after(random.skewed(10, 90_000), kernel.world, () => arrive(false))
    }
  }
}
