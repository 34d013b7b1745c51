// The desired resources of the cluster, which an operator changes. The product has no kind of resource yet, so the simulator has its own.

import type { DesiredResources, Resource } from '@rdev/shared/domain/resource'
import type { ResourceSource } from '../../control-plane/src/ports/resource-source.ts'
import type { Random } from '../world/random.ts'

export const simulatedKind = 'simulated'
/** A kind that no agent knows. */
const strangeKind = 'strange'
const names = ['apple', 'birch', 'cedar', 'dogwood']

export class ModelResources implements ResourceSource {
  #version = 0
  #resources = new Map<string, Resource>()

  desired(_clusterId: string): Promise<DesiredResources> {
    return Promise.resolve(this.now)
  }

  get now(): DesiredResources {
    return { version: this.#version, resources: [...this.#resources.values()] }
  }

  /** Adds, changes or removes one desired resource. */
  change(random: Random): void {
    const name = random.pick(names)
    if (this.#resources.has(name) && random.maybe(0.4)) this.#resources.delete(name)
    else {
      const kind = random.maybe(0.1) ? strangeKind : simulatedKind
      this.#resources.set(name, { kind, name, spec: { size: random.int(0, 9) } })
    }
    this.#version++
  }
}
