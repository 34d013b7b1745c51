// The only reader of the environment. It throws one ConfigError that lists every wrong name, and never a value.

import { z } from 'zod'
import type { ClusterHubObject } from './objects/cluster-hub/object.ts'
import type { TaskLogObject } from './objects/task-log/object.ts'

/** What wrangler.toml binds, and the secrets. */
export interface Env {
  readonly TASK_LOG: DurableObjectNamespace<TaskLogObject>
  readonly CLUSTER_HUB: DurableObjectNamespace<ClusterHubObject>
  readonly DATABASE_URL?: string
  /** Endpoint for Neon's HTTP protocol, if it is not Neon's own. */
  readonly NEON_FETCH_ENDPOINT?: string
  readonly RDEV_ADMIN_KEY?: string
  readonly RDEV_TOKEN_SECRET?: string
}

export interface Config {
  readonly databaseUrl: string
  readonly fetchEndpoint: string | undefined
  readonly adminKey: string | null
  readonly tokenSecret: string
}

/** An empty secret counts as not set. */
const optional = <Schema extends z.ZodType>(schema: Schema) =>
  z.preprocess((value) => (value === '' ? undefined : value), schema.optional())

const schema = z.object({
  DATABASE_URL: z.string().regex(/^postgres(ql)?:\/\/.+/),
  NEON_FETCH_ENDPOINT: optional(z.url({ protocol: /^https?$/ })),
  RDEV_ADMIN_KEY: optional(z.string().min(32)),
  RDEV_TOKEN_SECRET: z.string().min(32),
})

const expected: Readonly<Record<keyof z.infer<typeof schema>, string>> = {
  DATABASE_URL: 'a postgres:// URL',
  NEON_FETCH_ENDPOINT: 'an http(s) URL, or not set',
  RDEV_ADMIN_KEY: 'at least 32 characters, or not set',
  RDEV_TOKEN_SECRET: 'at least 32 characters',
}

export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

export function readConfig(env: Readonly<Record<keyof typeof expected, unknown>> | Env): Config {
  const parsed = schema.safeParse(env)
  if (!parsed.success) {
    const names = new Set(parsed.error.issues.map(({ path }) => String(path[0])))
    const wrong = Object.entries(expected).filter(([name]) => names.has(name))
    throw new ConfigError(`the environment is wrong: ${wrong.map(([name, must]) => `${name} must be ${must}`).join('; ')}`)
  }
  const { DATABASE_URL, NEON_FETCH_ENDPOINT, RDEV_ADMIN_KEY, RDEV_TOKEN_SECRET } = parsed.data
  return {
    databaseUrl: DATABASE_URL,
    fetchEndpoint: NEON_FETCH_ENDPOINT,
    adminKey: RDEV_ADMIN_KEY ?? null,
    tokenSecret: RDEV_TOKEN_SECRET,
  }
}
