import { z } from 'zod'
import { isServiceWide, scopes } from '../domain/api-key.ts'
import { agentProviders, permissionModes } from '../domain/code-agent.ts'
import { podRoles } from '../domain/pod.ts'
import { projectLimits } from '../domain/project.ts'
import { instantSchema, pageOf, pageQuery } from './pages.ts'
import { projectIdSchema } from './tasks.ts'

export const clusterIdSchema = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'must be a DNS label')

export const projectSchema = z
  .object({
    id: z.string(),
    cluster_id: z.string(),
    pod: z.string().nullable(),
    max_running: z.int().meta({ description: 'At most so many of its tasks are leased or running at once.' }),
    weight: z.int().meta({ description: 'Its share of the pool beside other projects that have work queued.' }),
    max_queued: z.int().meta({ description: 'At most so many of its tasks may be queued; more are refused with 429.' }),
    paused: z.boolean().meta({ description: 'Nothing of it is started; what runs goes on.' }),
    allow_bypass_permissions: z.boolean(),
    allow_pool: z.boolean().meta({ description: 'Its tasks may run in workers (`target: pool`), which they share with those of others.' }),
    created_at: instantSchema,
    updated_at: instantSchema,
  })
  .meta({ id: 'Project' })
export const projectPageSchema = pageOf(projectSchema, 'ProjectPage')

const limit = (name: keyof typeof projectLimits) => z.int().min(projectLimits[name].min).max(projectLimits[name].max).optional()
export const changeProjectSchema = z
  .strictObject({
    max_running: limit('max_running').meta({ description: 'At most so many of its tasks are leased or running at once. 0: none.' }),
    weight: limit('weight').meta({ description: 'Its share of the pool: 200 gets twice as many slots as 100.' }),
    max_queued: limit('max_queued').meta({ description: 'At most so many of its tasks may be queued; those that are stay.' }),
    allow_pool: z
      .boolean()
      .optional()
      .meta({
        description:
          'Whether its tasks may run in workers, whose tasks of all projects can read and change what is each other’s. For a key of every ' +
          'project only. False: what runs there goes on, what is queued for the pool waits.',
      }),
  })
  .refine((change) => Object.values(change).some((value) => value !== undefined), { message: 'give at least one field to change' })
  .meta({ id: 'ChangeProject' })

export const createProjectSchema = z
  .strictObject({
    id: projectIdSchema,
    cluster_id: clusterIdSchema,
    allow_pool: z.boolean().optional().meta({
      description: 'Whether its tasks may run in workers; a project that is there already is changed. Default: false, or as it is.',
    }),
  })
  .meta({ id: 'CreateProject' })

export const sessionSchema = z
  .object({
    id: z.string(),
    project_id: z.string(),
    provider: z.enum(agentProviders),
    provider_session_id: z.string().nullable(),
    workspace: z.string().nullable().meta({ description: 'The working copy that all its tasks hold.' }),
    pod: z.string().nullable(),
    last_task_id: z.string().nullable(),
    created_at: instantSchema,
    updated_at: instantSchema,
  })
  .meta({ id: 'Session' })
export const sessionPageSchema = pageOf(sessionSchema, 'SessionPage')
export const listSessionsQuery = z.strictObject({ ...pageQuery, project_id: projectIdSchema.optional() })

export const workerSchema = z
  .object({
    name: z.string(),
    cluster_id: z.string(),
    role: z.enum(podRoles),
    project_id: z.string().nullable(),
    ready: z.boolean(),
    detail: z.string().nullable().meta({ description: 'Why it is not ready, where its agent knows.' }),
    slots: z.int(),
    running: z.int(),
    providers: z.array(z.enum(agentProviders)),
  })
  .meta({ id: 'Worker', description: 'A pod that a connected cluster reports now.' })
export const workerPageSchema = z
  .object({
    data: z.array(workerSchema),
    next_cursor: z.string().nullable(),
    clusters: z.array(z.object({ id: z.string(), connected: z.boolean(), agent_version: z.string().nullable() })),
  })
  .meta({ id: 'WorkerPage' })

export const providerSchema = z
  .object({
    provider: z.enum(agentProviders),
    name: z.string(),
    default: z.boolean(),
    resume: z.boolean(),
    deltas: z.boolean(),
    allowed_tools: z.boolean(),
    permission_modes: z.array(z.enum(permissionModes)),
    reports_cost: z.boolean(),
  })
  .meta({ id: 'Provider' })
export const providerPageSchema = pageOf(providerSchema, 'ProviderPage')

export const createKeySchema = z
  .strictObject({
    name: z.string().min(1).max(100).meta({ example: 'release bot' }),
    scopes: z.array(z.enum(scopes)).min(1).max(100),
    project_ids: z.array(projectIdSchema).min(1).max(200).nullable().default(null).meta({
      description: 'Null: every project that the creating key may use. No list goes with `cluster:connect`, which no list bounds.',
    }),
    cluster_id: clusterIdSchema
      .nullable()
      .default(null)
      .meta({ description: 'With `cluster:connect`: the cluster that the key speaks for.' }),
    cluster_project_ids: z.array(projectIdSchema).max(200).default([]).meta({
      description:
        'With `cluster:connect`: projects that the cluster may register by reporting their pods. Those that are registered already go on without.',
    }),
    expires_at: instantSchema.nullable().default(null).meta({ description: 'Null: with the creating key, or never.' }),
  })
  .superRefine((value, ctx) => {
    if (value.scopes.includes('cluster:connect') !== (value.cluster_id !== null)) {
      ctx.addIssue({ code: 'custom', path: ['cluster_id'], message: 'cluster_id goes with the scope cluster:connect, and only with it' })
    }
    if (value.cluster_id === null && value.cluster_project_ids.length > 0) {
      ctx.addIssue({ code: 'custom', path: ['cluster_project_ids'], message: 'goes only with cluster_id' })
    }
    const unbounded = value.scopes.filter(isServiceWide)
    if (value.project_ids !== null && unbounded.length > 0) {
      ctx.addIssue({ code: 'custom', path: ['project_ids'], message: `no list of projects bounds ${unbounded.join(', ')}: leave it out` })
    }
  })
  .meta({ id: 'CreateKey' })

export const keySchema = z
  .object({
    id: z.string(),
    name: z.string(),
    prefix: z.string().meta({ description: 'The public part, to recognise the key by.' }),
    scopes: z.array(z.enum(scopes)),
    project_ids: z.array(z.string()).nullable(),
    cluster_id: z.string().nullable(),
    cluster_project_ids: z.array(z.string()),
    created_at: instantSchema,
    expires_at: instantSchema.nullable(),
    revoked_at: instantSchema.nullable(),
  })
  .meta({ id: 'Key' })
export const createdKeySchema = keySchema
  .extend({ key: z.string().meta({ description: 'Shown this one time.' }) })
  .meta({ id: 'CreatedKey' })
export const revokedKeySchema = keySchema
  .extend({
    made_keys: z.array(keySchema).meta({
      description:
        'Valid keys that this one made, itself or through others: at most 200, newest first. `made_keys=revoke` takes them along.',
    }),
  })
  .meta({ id: 'RevokedKey' })
export const revokeKeyQuery = z.strictObject({
  made_keys: z
    .enum(['keep', 'revoke'])
    .default('keep')
    .meta({ description: 'What becomes of keys that this one made, itself or through others.' }),
})
export const keyPageSchema = pageOf(keySchema, 'KeyPage')
export const listQuery = z.strictObject(pageQuery)
