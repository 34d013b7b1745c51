// The only reader of the environment. Its error names everything that is wrong at once and never shows a value, which may be a secret.

import { orphanTtlS } from '@rdev/shared/domain/limits'
import { agentProviders } from '@rdev/shared/domain/code-agent'
import { projectIdPattern } from '@rdev/shared/domain/project'
import { z } from 'zod'

export const localPodSchema = z.strictObject({
  name: z.string().min(1).max(253),
  role: z.enum(['project', 'worker']),
  project_id: z.string().regex(projectIdPattern).nullable().default(null),
  slots: z.int().min(1).max(1000).default(1),
  /** The pod's home. */
  directory: z.string().min(1),
  /** The environment of its processes, besides HOME. */
  env: z.record(z.string(), z.string()).default({}),
  allow_bypass_permissions: z.boolean().default(false),
  trust_repository_settings: z.boolean().optional(),
  /** Providers that are known to be there; for the others the pod is asked. */
  providers: z.array(z.enum(agentProviders)).default([]),
})
export type LocalPodConfig = z.infer<typeof localPodSchema>

const json = z.string().transform((text, context) => {
  try {
    return JSON.parse(text) as unknown
  } catch {
    context.addIssue({ code: 'custom', message: 'must be JSON' })
    return z.NEVER
  }
})

const logLevels = ['debug', 'info', 'warn', 'error'] as const

const environment = z
  .object({
    RDEV_URL: z.url({ protocol: /^(https?|wss?)$/, error: 'must be the http(s) address of the control plane' }),
    RDEV_CLUSTER_ID: z.string().min(1).max(63),
    RDEV_CLUSTER_KEY: z.string().min(1),
    RDEV_POD_HOST: z.enum(['local', 'kubernetes']).default('kubernetes'),
    RDEV_LOCAL_PODS: json.pipe(z.array(localPodSchema)).optional(),
    RDEV_NAMESPACE: z.string().min(1).max(63).default('rdev'),
    RDEV_ORPHAN_TTL_S: z.coerce.number().int().min(60).max(86_400).default(orphanTtlS),
    RDEV_STOP_ATTEMPTS_ON_EXIT: z.stringbool().default(false),
    RDEV_LOG_LEVEL: z.enum(logLevels).default('info'),
    /** The PATH of local pods, unless their own env has one. */
    PATH: z.string().default('/usr/local/bin:/usr/bin:/bin'),
  })
  .refine((env) => env.RDEV_POD_HOST !== 'local' || env.RDEV_LOCAL_PODS !== undefined, {
    path: ['RDEV_LOCAL_PODS'],
    message: 'is required when RDEV_POD_HOST is local',
  })

export interface Config {
  readonly url: string
  readonly clusterId: string
  readonly clusterKey: string
  readonly pods:
    | { readonly host: 'local'; readonly list: readonly LocalPodConfig[]; readonly path: string }
    | { readonly host: 'kubernetes'; readonly namespace: string }
  /** After this long without contact a supervisor ends its attempt. */
  readonly orphanTtlS: number
  /** True where agent and pods end together (the embedded stack): leaving ends every attempt. Otherwise they go on, and the next agent adopts them. */
  readonly stopAttemptsOnExit: boolean
  readonly logLevel: (typeof logLevels)[number]
}

/** Names every wrong variable with the rule that it breaks; never a value. */
export class ConfigError extends Error {
  constructor(wrong: readonly string[]) {
    super(`the environment is not valid:\n${wrong.map((line) => `  ${line}`).join('\n')}`)
    this.name = 'ConfigError'
  }
}

/** Throws ConfigError. */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  // Many tools set an empty variable where they mean none.
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''))
  const parsed = environment.safeParse(given)
  if (!parsed.success) {
    throw new ConfigError(parsed.error.issues.map((issue) => `${issue.path.join('.') || 'environment'}: ${rule(issue)}`))
  }
  const { data } = parsed
  return {
    url: data.RDEV_URL,
    clusterId: data.RDEV_CLUSTER_ID,
    clusterKey: data.RDEV_CLUSTER_KEY,
    pods:
      data.RDEV_POD_HOST === 'local'
        ? { host: 'local', list: data.RDEV_LOCAL_PODS ?? [], path: data.PATH }
        : { host: 'kubernetes', namespace: data.RDEV_NAMESPACE },
    orphanTtlS: data.RDEV_ORPHAN_TTL_S,
    stopAttemptsOnExit: data.RDEV_STOP_ATTEMPTS_ON_EXIT,
    logLevel: data.RDEV_LOG_LEVEL,
  }
}

/** The broken rule. Some of zod's own messages quote the value, so they are not used. */
function rule(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'custom':
    case 'invalid_format':
      return issue.message
    case 'invalid_type':
      return issue.input === undefined && issue.path.length === 1 ? 'is required' : `must be of type ${issue.expected}`
    case 'invalid_value':
      return `must be one of ${issue.values.join(', ')}`
    case 'unrecognized_keys':
      return 'has a field that is not known'
    case 'too_small':
      return `must be at least ${issue.minimum}`
    case 'too_big':
      return `must be at most ${issue.maximum}`
    default:
      return 'is not valid'
  }
}
