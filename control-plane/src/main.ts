// The Worker's entry: the API, and the two objects.

import { composeProduction, type Composition } from './compose.ts'
import type { Env } from './config.ts'
import { ClusterHubObject } from './objects/cluster-hub/object.ts'
import { TaskLogObject } from './objects/task-log/object.ts'

// Composed once per isolate, because an isolate has one environment.
let composition: Composition | undefined
const composed = (env: Env): Composition => (composition ??= composeProduction(env))

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
