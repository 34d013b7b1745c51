// Connects the parts: what the Worker's routes need, and what each object needs. The entry calls it once per isolate.

import { agentProviders } from '@rdev/shared/domain/code-agent'
import type { Hono } from 'hono'
import { createApp, type ConnectHandlers } from './app.ts'
import { protocolHeader } from '@rdev/shared/wire/version'
import { readConfig, type Config, type Env } from './config.ts'
import type { ClusterHubDeps } from './objects/cluster-hub/driver.ts'
import { createHubs } from './objects/cluster-hub/hubs.ts'
import { createTaskLogs } from './objects/task-log/logs.ts'
import type { TaskLogDeps } from './objects/task-log/driver.ts'
import type { AppEnv } from './middleware/env.ts'
import type { Clock } from './ports/clock.ts'
import type { Deps } from './ports/deps.ts'
import type { Log } from './ports/log.ts'
import type { Randomness } from './ports/randomness.ts'
import type { ResourceSource } from './ports/resource-source.ts'
import { postgresStores } from './stores/postgres/postgres-stores.ts'
import type { Stores } from './stores/stores.ts'
import { createTokens } from './tokens.ts'
import { insertTogether } from './usecases/insert-together.ts'

const clock: Clock = { now: () => Date.now() }

const random: Randomness = {
  bytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
  chance: () => Math.random(),
}

/** One JSON line; a constant phrase, everything variable a field. */
const log: Log = (level, phrase, fields = {}) => {
  const line = JSON.stringify({ level, msg: phrase, time: new Date().toISOString(), ...fields })
  if (level === 'error') console.error(line)
  else if (level === 'warn') console.warn(line)
  else console.log(line)
}

/** No kind of resource exists yet: pool, deployments and projects bring theirs. */
const noResources: ResourceSource = { desired: async () => ({ version: 0, resources: [] }) }

/** The parts that tests replace. */
export interface Parts {
  readonly stores: Stores
  readonly clock: Clock
  readonly random: Randomness
  readonly log: Log
}

export interface Composition {
  readonly app: Hono<AppEnv>
  readonly taskLog: TaskLogDeps
  readonly clusterHub: ClusterHubDeps
}

export function productionParts({ databaseUrl, fetchEndpoint }: Config): Parts {
  return { stores: postgresStores({ databaseUrl, fetchEndpoint, clock }), clock, random, log }
}

export function compose(env: Env, { stores, ...parts }: Parts, config: Config): Composition {
  const tokens = createTokens(config.tokenSecret, parts.clock)
  const hubs = createHubs(env.CLUSTER_HUB, parts.random)
  const logs = createTaskLogs(env.TASK_LOG, parts.random)
  const tasks = { ...stores.tasks, insert: insertTogether(stores.tasks.insert) }
  const deps: Deps = { ...parts, ...stores, tasks, hubs, logs, tokens, adminKey: config.adminKey, providers: agentProviders }
  return {
    app: createApp(deps, { connect: connectHandlers(env) }),
    taskLog: {
      ...parts,
      tasks: stores.tasks,
      dispatch: stores.dispatch,
      keys: stores.keys,
      hubs,
      rowEnded: async (clusterId, ref) => env.CLUSTER_HUB.getByName(clusterId).ended(ref),
    },
    clusterHub: {
      ...parts,
      tasks: stores.tasks,
      dispatch: stores.dispatch,
      projects: stores.projects,
      keys: stores.keys,
      tokens,
      resources: noResources,
      logs: {
        sync: logs.sync,
        received: async (task) => env.TASK_LOG.getByName(task.id).received(task),
        keyRevoked: async (task, keyId) => env.TASK_LOG.getByName(task.id).keyRevoked(keyId),
        end: async (task, outcome) => env.TASK_LOG.getByName(task.id).end(task, outcome),
      },
    },
  }
}

export const composeProduction = (env: Env): Composition => {
  const config = readConfig(env)
  return compose(env, productionParts(config), config)
}

/**
 * The route has authenticated the caller. The objects trust these requests, so nothing of the caller's request but a number is passed on, and
 * what the route knows of the key.
 */
const connectHandlers = ({ CLUSTER_HUB, TASK_LOG }: Env): ConnectHandlers => ({
  hub: (request, clusterId, { key_id, expires_at }) => {
    const told = request.headers.get(protocolHeader)
    const query = new URLSearchParams({
      key_id,
      ...(expires_at !== null && { expires_at: `${expires_at}` }),
      ...(told !== null && { protocol: `${Number(told)}` }),
    })
    return CLUSTER_HUB.getByName(clusterId).fetch(`http://hub/connect?${query}`, upgrade)
  },
  attempt: (_request, { task_id, attempt, epoch, key_id, expires_at }, judgedAt) => {
    const query = new URLSearchParams({
      attempt: `${attempt}`,
      epoch: `${epoch}`,
      key_id,
      expires_at: `${expires_at}`,
      judged_at: `${judgedAt}`,
    })
    return TASK_LOG.getByName(task_id).fetch(`http://log/line?${query}`, upgrade)
  },
})
const upgrade = { headers: { upgrade: 'websocket' } }
