// The Worker as tests of the objects run it: everything is real, but memory stores replace Postgres. It can be made to fail. It runs in the
// isolate of the test, which reads and changes the variables here.

import { compose, productionParts, type Composition, type Parts } from '../compose.ts'
import { readConfig, type Env } from '../config.ts'
import { ClusterHubObject } from '../objects/cluster-hub/object.ts'
import { TaskLogObject } from '../objects/task-log/object.ts'
import type { DispatchStore } from '../ports/dispatch-store.ts'
import type { TaskStore } from '../ports/task-store.ts'
import { memoryStores } from '../stores/memory/memory-stores.ts'
import type { Stores } from '../stores/stores.ts'

type Method = keyof TaskStore | keyof DispatchStore

interface World {
  readonly stores: Stores
  /** Calls of the stores of tasks, by name, since the world was made. */
  readonly calls: Method[]
  /** Thrown by these stores while it is set; `after` lets the call commit and loses its answer. */
  away: { readonly when: 'before' | 'after'; readonly only?: Method } | null
}

function newWorld(): World {
  const memory = memoryStores({ now: () => Date.now() })
  const stores = { ...memory, tasks: watched(memory.tasks, () => world), dispatch: watched(memory.dispatch, () => world) }
  const world: World = { calls: [], away: null, stores }
  return world
}

function watched<Store extends TaskStore | DispatchStore>(store: Store, world: () => World): Store {
  return new Proxy(store, {
    get(target, name: Method) {
      const call = Reflect.get(target, name) as (...args: unknown[]) => Promise<unknown>
      return async (...args: unknown[]) => {
        const { away, calls } = world()
        calls.push(name)
        const lost = away !== null && (away.only === undefined || away.only === name)
        if (lost && away.when === 'before') throw new Error('the database is away')
        const answer = await call.apply(target, args)
        if (lost) throw new Error('the answer was lost')
        return answer
      }
    },
  })
}

export let world = newWorld()
export function freshWorld(): World {
  world = newWorld()
  return world
}

/** Each call goes to the stores of the world as it is then: objects outlive tests. */
const stores: Stores = {
  tasks: delegate(() => world.stores.tasks),
  dispatch: delegate(() => world.stores.dispatch),
  sessions: delegate(() => world.stores.sessions),
  projects: delegate(() => world.stores.projects),
  clusters: delegate(() => world.stores.clusters),
  keys: delegate(() => world.stores.keys),
  idempotency: delegate(() => world.stores.idempotency),
  ready: async () => true,
}
function delegate<Store extends object>(current: () => Store): Store {
  return new Proxy({} as Store, { get: (_, name) => Reflect.get(current(), name) as unknown })
}

let composition: Composition | undefined
function composed(env: Env): Composition {
  const config = readConfig(env)
  const { clock, random } = productionParts(config)
  // Jitter near its lower end, so that what is tried again is tried again soon.
  const parts: Parts = { stores, clock, random: { ...random, chance: () => 0.01 }, log: () => undefined }
  return (composition ??= compose(env, parts, config))
}

export class TaskLog extends TaskLogObject {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env, composed(env).taskLog)
  }
}

export class ClusterHub extends ClusterHubObject {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env, composed(env).clusterHub)
  }
}

export default {
  fetch: (request, env, ctx) => composed(env).app.fetch(request, env, ctx),
} satisfies ExportedHandler<Env>
