// A cluster's hub in the simulator: the shipped driver on a cell that stores its memory.

import {
  ClusterHubDriver,
  type HubAttachment,
  type HubPlatform,
  type OnHubStep,
} from '../../control-plane/src/objects/cluster-hub/driver.ts'
import type { HubMemory } from '../../control-plane/src/objects/cluster-hub/state.ts'
import { CellPlatform } from './cell-platform.ts'
import type { ControlPlane } from './control-plane.ts'
import { keyIn } from './keys.ts'
import { describeHub } from './describe-hub.ts'
import type { CellKind } from './objects.ts'

type Stored = Partial<HubMemory>

/** A statement of a database that is not slow, and a late step of the object. */
const judgedWithinMs = 10_000

class Platform extends CellPlatform<Stored, Stored, Stored, HubAttachment> implements HubPlatform {
  load(): Stored {
    return this.cell.stored ?? {}
  }
  commit(changed: Stored): void {
    this.write(() => (this.cell.stored = { ...this.cell.stored, ...changed }))
  }
}

export const hubKind = (plane: ControlPlane): CellKind<Stored> => ({
  wake: (cell, life) => {
    const platform = new Platform(cell, life)
    const { tasks, dispatch, projects, keys, logs, resources, ...rest } = plane.depsOf(life)
    const outside = {
      tasks: platform.outside(tasks),
      dispatch: platform.outside(dispatch),
      projects: platform.outside(projects),
      keys: platform.outside(keys),
      logs: platform.outside(logs),
      resources: platform.outside(resources),
    }
    const deps = { ...rest, ...outside, tokens: plane.tokens, log: plane.logOf(cell.name, life) }
    const onStep: OnHubStep = (input, effects) => {
      if (life.dead) return
      cell.kernel.say('hub', () => describeHub(input, effects))
      if (input.type === 'frame' && input.frame.type === 'observed') plane.observed = input.frame
      for (const effect of effects) if (effect.type === 'write') cell.kernel.count(`hub ${effect.write.kind}`)
    }
    return { driver: new ClusterHubDriver(platform, deps, onStep), platform }
  },
  connected: (_, driver, { id, target }) => (driver as ClusterHubDriver).connect(id, { id: keyIn(target), expires_at: null }),
  message: (cell, driver, { id, target }, text) => {
    driver.message(id, text)
    if (!plane.isOverdue(target)) return
    // The frame makes the hub judge the key.
    cell.kernel.after(judgedWithinMs, cell.kernel.world, () => {
      if (cell.sockets.has(id) && plane.isOverdue(target)) plane.onRevoked('the hub', `has a connection of ${keyIn(target)} open`)
    })
  },
  checked: (text) => plane.checked('hubDown', text),
})
