// The simulator's kind of resource. The resources outlive every agent, and the kind knows the highest version that changed them. A command takes
// a while, sometimes fails, and may still arrive after its agent has died.

import type { Resource } from '@rdev/shared/domain/resource'
import type { ResourceKind } from '../../cluster-agent/src/ports.ts'
import { simulatedKind } from '../control/resources.ts'
import type { Kernel, Life } from '../world/kernel.ts'

export class SimulatedResources {
  readonly there = new Map<string, Resource['spec']>()
  /** The probability that a command fails, before or after it was done. */
  fails = 0
  readonly #kernel: Kernel
  #version = 0

  constructor(kernel: Kernel) {
    this.#kernel = kernel
  }

  /** The kind for an agent of that life. */
  kind(life: Life): ResourceKind {
    return {
      kind: simulatedKind,
      list: () => this.#command(life, () => [...this.there.keys()]),
      apply: ({ name, spec }, version) => this.#command(life, () => this.#change(version, () => this.there.set(name, spec))),
      remove: (name, version) => this.#command(life, () => this.#change(version, () => this.there.delete(name))),
    }
  }

  #change(version: number, change: () => void): void {
    if (version < this.#version) throw new Error(`version ${this.#version} was applied already`)
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
