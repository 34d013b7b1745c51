// A model of a process tree: the main process with its plan, and perhaps a child that outlives it.

import { Life, type Kernel } from '../world/kernel.ts'
import type { Ledger, ProcessFacts } from '../world/ledger.ts'
import type { ProcessPlan } from '../world/plan.ts'

export type Signal = 'INT' | 'TERM' | 'KILL'

export interface ProcessOwner {
  wrote(stream: 'stdout' | 'stderr', text: string): void
  mainEnded(exitCode: number): void
  emptied(): void
}

export class ProcessTree {
  readonly facts: ProcessFacts
  readonly #kernel: Kernel
  readonly #plan: ProcessPlan
  readonly #owner: ProcessOwner
  readonly #life: Life
  #main = true
  #child = false
  #signalled = false

  constructor(
    kernel: Kernel,
    ledger: Ledger,
    pod: Life,
    facts: Omit<ProcessFacts, 'startedAt' | 'emptyAt' | 'stdout' | 'stderr' | 'endedByItself' | 'record'>,
    plan: ProcessPlan,
    owner: ProcessOwner,
  ) {
    this.#kernel = kernel
    this.#plan = plan
    this.#owner = owner
    this.#life = new Life('process', pod)
    this.facts = { ...facts, startedAt: kernel.now, emptyAt: null, stdout: '', stderr: '', endedByItself: false, record: undefined }
    ledger.processes.push(this.facts)
    kernel.count('process started')
    let at = 0
    for (const { afterMs, stream, text } of plan.writes) {
      at += afterMs
      kernel.after(at, this.#life, () => {
        if (!this.#main) return
        this.facts[stream] += text
        owner.wrote(stream, text)
      })
    }
    kernel.after(Math.max(at, plan.endsAfterMs), this.#life, () => this.#endMain(plan.exitCode))
  }

  get empty(): boolean {
    return !this.#main && !this.#child
  }

  signal(signal: Signal): void {
    this.#signalled = true
    const { ignores } = this.#plan
    if (signal === 'INT' && ignores !== 'nothing') return
    if (signal === 'TERM' && ignores === 'int and term') return
    const reactMs = signal === 'KILL' ? 0 : this.#kernel.random.int(1, 30)
    this.#kernel.after(reactMs, this.#life, () => {
      this.#child = false
      if (this.#main) this.#endMain(signal === 'INT' ? 130 : signal === 'TERM' ? 143 : 137, true)
      else this.#checkEmpty()
    })
  }

  /** Ends with its pod; no one is told. */
  vanish(): void {
    this.#main = this.#child = false
    this.#life.die()
    this.facts.emptyAt ??= this.#kernel.now
  }

  #endMain(exitCode: number, killed = false): void {
    if (!this.#main) return
    this.#main = false
    this.facts.endedByItself = !this.#signalled
    if (this.#plan.childMs > 0 && !killed) {
      this.#child = true
      this.#kernel.after(this.#plan.childMs, this.#life, () => {
        this.#child = false
        this.#checkEmpty()
      })
    }
    this.#owner.mainEnded(exitCode)
    this.#checkEmpty()
  }

  #checkEmpty(): void {
    if (!this.empty || this.facts.emptyAt !== null) return
    this.facts.emptyAt = this.#kernel.now
    this.#life.die()
    this.#owner.emptied()
  }
}
