// All of rdev on this computer in one process tree: Postgres (PGlite) behind Neon's HTTP protocol, the Worker in workerd, the scripted model
// unless a real one is given, and an agent with local pods. `npm start`, the end-to-end suite and the benches use it.
import { mkdir } from 'node:fs/promises'
import { bundleControlPlane, repository } from './bundle.ts'
import { startChild } from './child.ts'
import type { Child } from './child.ts'
import { createClient } from './client.ts'
import type { Client } from './client.ts'
import { createDemoProject } from './demo-project.ts'
import { startModel } from './model/server.ts'
import type { ModelRequest } from './model/server.ts'
import type { DatabaseOptions } from './neon-proxy/embedded.ts'
import { createDatabase } from './neon-proxy/own-database.ts'
import { loadSecrets, saveSecrets } from './secrets.ts'

export const clusterId = 'local'
const demo = 'demo'
const connectMs = 120_000

export interface StackOptions {
  readonly dataDirectory: string
  /** 0 picks a free one. */
  readonly port: number
  readonly adminKey?: string | undefined
  /** Default: the scripted model. */
  readonly model?: { readonly apiKey: string; readonly baseUrl: string | undefined } | undefined
  readonly logLevel?: string
  readonly onLog?: (text: string) => void
  /** The projects whose pods `podHost` makes. Default: the demo's. */
  readonly projects?: readonly string[]
  /** Slots of each local pod. */
  readonly slots?: number
  /** A directory before the PATH of the pods, for a program that replaces a provider's binary. */
  readonly podPath?: string
  /** More environment for the processes of local pods. */
  readonly podEnv?: Readonly<Record<string, string>>
  /** The scripted model listens here; pods of a cluster reach it only at an address of the node. */
  readonly modelHost?: string
  /** Instead of local pods: creates pods that use the model at this port, and answers the environment in which the agent finds them. */
  readonly podHost?: (modelPort: number, demoWorkspace: string) => Promise<Readonly<Record<string, string>>>
  /** Instead of PGlite: a PostgreSQL server. The stack makes a database there and drops it at the end. */
  readonly database?: { readonly serverUrl: string }
  /** A proxy between the control plane and the database's HTTP endpoint: gets the endpoint, answers the proxy's. */
  readonly databaseVia?: (fetchEndpoint: string) => Promise<string>
  /** More environment for the agent. */
  readonly agentEnv?: Readonly<Record<string, string>>
  /** A proxy between agents and control plane: gets the control plane's URL, answers the proxy's. */
  readonly agentVia?: (url: string) => Promise<string>
  /** The agent's program instead of `dev/agent-main.ts`. */
  readonly agentMain?: string
  /** Makes the control plane's bundle, instead of `bundleControlPlane`. */
  readonly bundle?: (outFile: string) => Promise<string>
}

/** The options of one agent. */
export type AgentOptions = Pick<StackOptions, 'agentEnv' | 'agentMain'>

export interface Stack {
  readonly url: string
  readonly adminKey: string
  readonly client: Client
  readonly modelUrl: string | undefined
  /** What the scripted model was asked, oldest first. */
  readonly modelRequests: readonly ModelRequest[]
  readonly dataDirectory: string
  /** The running programs. Each can be killed and started again. */
  agent: Child
  controlPlane: Child
  /** The database's HTTP endpoint, and with PGlite the database. */
  readonly database: Child
  /** The URL of the database on the PostgreSQL server; undefined with PGlite. */
  readonly databaseUrl: string | undefined
  /** Puts a new agent in the place of `agent`, which is left as it is. */
  startAgent(options?: AgentOptions): Promise<void>
  /** One more agent of the same identity, beside `agent`. */
  addAgent(options?: AgentOptions): Promise<Child>
  startControlPlane(): Promise<void>
  startDatabase(): Promise<void>
  /** Resolves when an agent is connected and has reported its pods. */
  connected(): Promise<void>
  stop(): Promise<void>
}

export function localPods(dataDirectory: string, env: Readonly<Record<string, string>>, slots: number) {
  const pod = (name: string, role: 'project' | 'worker') => ({
    name,
    role,
    project_id: role === 'project' ? name : null,
    slots,
    directory: `${dataDirectory}/pods/${name}`,
    env,
    allow_bypass_permissions: false,
  })
  return [pod(demo, 'project'), pod('worker-1', 'worker'), pod('worker-2', 'worker')]
}

export async function startStack(options: StackOptions): Promise<Stack> {
  const { dataDirectory } = options
  const onLog = options.onLog ?? (() => {})
  await mkdir(dataDirectory, { recursive: true, mode: 0o700 })
  const secrets = await loadSecrets(dataDirectory)
  const adminKey = options.adminKey ?? secrets.adminKey
  const demoWorkspace = `${dataDirectory}/pods/demo/workspace`
  const closers: (() => Promise<void>)[] = []
  const stop = async () => {
    for (const close of closers.splice(0).toReversed()) await close()
  }

  try {
    const own = options.database && (await createDatabase(options.database.serverUrl))
    // If the server is gone by then, the database is gone too.
    if (own) closers.push(() => own.drop().catch(() => {}))
    let databaseOptions: DatabaseOptions = { at: own ? { url: own.url } : { directory: `${dataDirectory}/postgres` } }
    const startDatabase = () =>
      startChild<{ connectionString: string; fetchEndpoint: string }>({
        file: `${repository}dev/database-main.ts`,
        env: { RDEV_DATABASE: JSON.stringify(databaseOptions) },
        onOutput: onLog,
      })
    const [bundle, database, model] = await Promise.all([
      (options.bundle ?? bundleControlPlane)(`${dataDirectory}/control-plane.js`),
      startDatabase(),
      options.model ? undefined : startModel({ host: options.modelHost ?? '127.0.0.1', port: 0 }),
      createDemoProject(demoWorkspace),
      ...['worker-1', 'worker-2'].map((worker) => mkdir(`${dataDirectory}/pods/${worker}`, { recursive: true })),
    ])
    let databaseChild = database.child
    closers.push(() => databaseChild.stop())
    const { port: databasePort, password } = new URL(database.ready.connectionString)
    databaseOptions = { ...databaseOptions, port: Number(databasePort), password }
    const fetchEndpoint = (await options.databaseVia?.(database.ready.fetchEndpoint)) ?? database.ready.fetchEndpoint
    if (model) closers.push(() => model.close())

    let port = options.port
    const startControlPlane = async () => {
      const started = await startChild<{ url: string }>({
        file: `${repository}dev/control-plane-main.ts`,
        env: {
          RDEV_CONTROL_PLANE: JSON.stringify({
            host: '127.0.0.1',
            port,
            directory: `${dataDirectory}/objects`,
            bundle,
            vars: {
              DATABASE_URL: database.ready.connectionString,
              NEON_FETCH_ENDPOINT: fetchEndpoint,
              RDEV_ADMIN_KEY: adminKey,
              RDEV_TOKEN_SECRET: secrets.tokenSecret,
            },
          }),
        },
        onOutput: onLog,
      })
      // After a restart it must have the same address.
      port = Number(new URL(started.ready.url).port)
      stack.controlPlane = started.child
    }

    const client = () => createClient(`http://127.0.0.1:${port}`, adminKey)
    const clusterKey = async () => {
      if (secrets.clusterKey) return secrets.clusterKey
      const created = await client().json<{ key: string }>('POST', '/v1/keys', {
        name: 'agent of this machine',
        scopes: ['cluster:connect'],
        cluster_id: clusterId,
        cluster_project_ids: options.projects ?? [demo],
      })
      await saveSecrets(dataDirectory, { ...secrets, clusterKey: created.key })
      return (secrets.clusterKey = created.key)
    }

    const localPodEnv = {
      PATH: `${options.podPath ? `${options.podPath}:` : ''}${repository}node_modules/.bin:${process.env.PATH ?? ''}`,
      ANTHROPIC_API_KEY: options.model?.apiKey ?? 'scripted',
      ...options.podEnv,
      ...(model || options.model?.baseUrl ? { ANTHROPIC_BASE_URL: model?.url ?? options.model?.baseUrl ?? '' } : {}),
    }
    const podHostEnv = options.podHost
      ? await options.podHost(Number(new URL(model?.url ?? 'http://127.0.0.1:0').port), demoWorkspace)
      : { RDEV_POD_HOST: 'local', RDEV_LOCAL_PODS: JSON.stringify(localPods(dataDirectory, localPodEnv, options.slots ?? 4)) }
    const agents = new Set<Child>()
    const addAgent = async ({ agentEnv = options.agentEnv, agentMain = options.agentMain }: AgentOptions = {}) => {
      const url = `http://127.0.0.1:${port}`
      const { child } = await startChild({
        file: agentMain ?? `${repository}dev/agent-main.ts`,
        env: {
          RDEV_URL: (await options.agentVia?.(url)) ?? url,
          RDEV_CLUSTER_ID: clusterId,
          RDEV_CLUSTER_KEY: await clusterKey(),
          ...podHostEnv,
          RDEV_STOP_ATTEMPTS_ON_EXIT: 'true',
          RDEV_LOG_LEVEL: options.logLevel ?? 'info',
          // The same as in kustomize/base/agent.yaml.
          NODE_OPTIONS: '--max-old-space-size=384 --max-semi-space-size=4',
          ...agentEnv,
        },
        onOutput: onLog,
      })
      agents.add(child)
      void child.exited.then(() => agents.delete(child))
      return child
    }
    const startAgent = async (more?: AgentOptions) => {
      stack.agent = await addAgent(more)
    }

    const stack: Stack = {
      get url() {
        return `http://127.0.0.1:${port}`
      },
      get client() {
        return client()
      },
      adminKey,
      modelUrl: model?.url,
      modelRequests: model?.requests ?? [],
      dataDirectory,
      // Both are set before the stack is handed out.
      agent: undefined as never,
      controlPlane: undefined as never,
      get database() {
        return databaseChild
      },
      databaseUrl: own?.url,
      startAgent,
      addAgent,
      startControlPlane,
      startDatabase: async () => {
        databaseChild = (await startDatabase()).child
      },
      connected: async () => {
        // On a busy computer an answer may be late, or say that a program is not there yet.
        for (const deadline = Date.now() + connectMs; ;) {
          const response = await client().fetch('GET', '/v1/workers')
          const { data = [] } = (await response.json()) as { data?: { ready: boolean }[] }
          if (response.ok && data.length > 0 && data.every((pod) => pod.ready)) return
          if (Date.now() > deadline) throw new Error(`no agent with ready pods connected within ${connectMs / 1000} s`)
          await new Promise((resolve) => setTimeout(resolve, 50))
        }
      },
      stop,
    }
    await startControlPlane()
    closers.push(() => stack.controlPlane.stop())
    // Before the agent comes: whether a project may use the pool is an operator's word, and the tasks of this stack are all yours.
    for (const id of options.projects ?? [demo]) {
      await client().json('POST', '/v1/projects', { id, cluster_id: clusterId, allow_pool: true })
    }
    closers.push(async () => void (await Promise.all([...agents].map((agent) => agent.stop()))))
    await startAgent()
    await stack.connected()
    return stack
  } catch (error) {
    await stop()
    throw error
  }
}
