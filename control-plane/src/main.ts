// The Worker's entry: the API, and the two objects.

import { clusterHubDeps, taskLogDeps, workerApp } from './compose.ts'
import type { Env } from './config.ts'
import { ClusterHubObject } from './hub/cluster-hub.ts'
import { TaskLogObject } from './hub/task-log.ts'

export class TaskLog extends TaskLogObject {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env, taskLogDeps(env))
  }
}

export class ClusterHub extends ClusterHubObject {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env, clusterHubDeps(env))
  }
}

export default {
  fetch: (request, env, ctx) => workerApp(env).fetch(request, env, ctx),
} satisfies ExportedHandler<Env>
