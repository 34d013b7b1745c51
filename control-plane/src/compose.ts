// Puts the parts together: what the Worker's routes need, and what each object needs. Plain functions; what may be shared is kept per isolate.

import { agentProviders } from '@rdev/shared/domain/code-agent'
import type { Hono } from 'hono'
import { createApp, type ConnectHandlers } from './app.ts'
import { readConfig, type Env } from './config.ts'
import type { ClusterHubDeps } from './hub/cluster-hub.ts'
import { createHubs } from './hub/hubs.ts'
import { createTaskLogs } from './hub/logs.ts'
import type { TaskLogDeps } from './hub/task-log.ts'
import type { AppEnv } from './middleware/env.ts'
import type { Clock, Deps, Log, Randomness } from './ports.ts'
import { postgresStores } from './stores/postgres.ts'
import { createTokens } from './tokens.ts'

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

/** Once per isolate, which sees one environment in its life. */
function once<Value>(make: (env: Env) => Value): (env: Env) => Value {
  let made: { readonly value: Value } | undefined
  return (env) => (made ??= { value: make(env) }).value
}

const base = once((env: Env) => {
  const config = readConfig(env)
  const stores = postgresStores({ databaseUrl: config.databaseUrl, fetchEndpoint: config.fetchEndpoint, clock })
  return { config, stores, tokens: createTokens(config.tokenSecret, clock) }
})

export const workerDeps = once((env: Env): Deps => {
  const { config, stores, tokens } = base(env)
  return {
    ...stores,
    hubs: createHubs(env.CLUSTER_HUB),
    logs: createTaskLogs(env.TASK_LOG, random),
    tokens,
    clock,
    random,
    log,
    adminKey: config.adminKey,
    providers: agentProviders,
  }
})

/** Whoever gets here was let in by the route; the objects trust what these requests say, so nothing of the caller's is passed on. */
const connectHandlers = ({ CLUSTER_HUB, TASK_LOG }: Env): ConnectHandlers => ({
  hub: (_request, clusterId) => CLUSTER_HUB.getByName(clusterId).fetch('http://hub/connect', upgrade),
  attempt: (_request, { task_id, attempt, epoch }) =>
    TASK_LOG.getByName(task_id).fetch(`http://log/line?attempt=${attempt}&epoch=${epoch}`, upgrade),
})
const upgrade = { headers: { upgrade: 'websocket' } }

export const workerApp = once((env: Env): Hono<AppEnv> => createApp(workerDeps(env), { connect: connectHandlers(env) }))

export const taskLogDeps = once((env: Env): TaskLogDeps => {
  const { stores } = base(env)
  return {
    tasks: stores.tasks,
    hubs: createHubs(env.CLUSTER_HUB),
    clock,
    random,
    log,
    rowEnded: async (clusterId, ref) => env.CLUSTER_HUB.getByName(clusterId).ended(ref),
  }
})

export const clusterHubDeps = once((env: Env): ClusterHubDeps => {
  const { stores, tokens } = base(env)
  return {
    tasks: stores.tasks,
    projects: stores.projects,
    tokens,
    clock,
    random,
    log,
    logs: {
      sync: async (task) => env.TASK_LOG.getByName(task.id).sync(task),
      end: async (task, outcome) => env.TASK_LOG.getByName(task.id).end(task, outcome),
    },
  }
})
