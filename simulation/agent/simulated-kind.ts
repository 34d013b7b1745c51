// The simulator's kind of resource: what is there survives every agent, and remembers the highest version that changed it. A command takes a
// while, fails at times, and one whose asker has died may still arrive.

import type { Resource } from '@rdev/shared/domain/resource'
import type { ResourceKind } from '../../cluster-agent/src/ports.ts'
import { simulatedKind } from '../control/resources.ts'
import type { Kernel, Life } from '../world/kernel.ts'

export class SimulatedResources {
  readonly there = new Map<string, Resource['spec']>()
  /** Of commands: it fails, before or after it was done. */
  fails = 0
  readonly #kernel: Kernel
  #version = 0

  constructor(kernel: Kernel) {
    this.#kernel = kernel
  }

  /** As an agent of that life sees it. */
  kind(life: Life): ResourceKind {
    return {
      kind: simulatedKind,
      list: () => this.#command(life, () => [...this.there.keys()]),
      apply: ({ name, spec }, version) => this.#command(life, () => this.#change(version, () => this.there.set(name, spec))),
      remove: (name, version) => this.#command(life, () => this.#change(version, () => this.there.delete(name))),
    }
  }

  #change(version: number, change: () => void): void {
    if (version < this.#version) throw new Error(`version ${this.#version} was here`)
    this.#version = version
    change()
  }

  #command<Result>(life: Life, work: () => Result): Promise<Result> {
    const kernel = this.#kernel
    const { random } = kernel
    const before = random.maybe(this.fails)
    const after = random.maybe(this.fails)
    return new Promise((resolve, reject) => {
      const answer = (tell: () => void) => kernel.after(random.int(0, 50), life, () => (kernel.touched(), tell()))
      kernel.after(random.skewed(1, 5_000), kernel.world, () => {
        if (before) return void answer(() => reject(new Error('it did not arrive')))
        let told: () => void
        try {
          const result = work()
          told = after ? () => reject(new Error('its answer was lost')) : () => resolve(result)
        } catch (error) {
          told = () => reject(error)
        }
        answer(told)
      })
    })
  }
}
