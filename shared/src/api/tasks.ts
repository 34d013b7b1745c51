import { projectIdPattern } from '../domain/project.ts'
import { z } from 'zod'
import { agentProviders, invalidAgentRequest, maxTimeoutS, minTimeoutS, permissionModes } from '../domain/code-agent.ts'
import { publishedTaskErrorCodes } from '../domain/errors.ts'
import {
  mainWorkspace,
  maxRunAfterDays,
  retryClasses,
  taskKinds,
  taskStatuses,
  taskTargets,
  unaskedSpec,
  workspacePattern,
} from '../domain/task.ts'
import type { AskedTask, TaskSpec } from '../domain/task.ts'
import { deniedToolSchema, usageSchema } from '../wire/parts.ts'
import { inQuery, instantSchema, pageOf, pageQuery } from './pages.ts'

/** Text that Postgres, files and argv can all hold. */
const text = (max: number) =>
  z
    .string()
    .max(max)
    .refine((value) => !value.includes('\u0000'), { message: 'must not contain NUL characters' })

export const projectIdSchema = z
  .string()
  .regex(projectIdPattern, 'must be a DNS label: lower-case letters, digits and hyphens, at most 63')
  .meta({ example: 'demo' })
const sessionIdSchema = z.string().regex(/^ses_[0-9a-hjkmnp-tv-z]{26}$/, 'must be a session id (ses_…)')

/** An object with at most `max` names. They are counted before any of them is judged, because each wrong one costs as much as a hundred right ones. */
const namesUpTo = <Schema extends z.ZodType>(max: number, message: string, schema: Schema) =>
  z.preprocess((value, ctx) => {
    if (typeof value !== 'object' || value === null || Object.keys(value).length <= max) return value
    ctx.addIssue({ code: 'custom', message })
    return z.NEVER
  }, schema)

const label = namesUpTo(
  32,
  'at most 32 labels',
  z.record(z.string().regex(/^[A-Za-z0-9_.\-/]{1,63}$/, 'label names are 1 to 63 letters, digits, _ . - /'), text(256)),
)

/** Everything that JSON.parse makes is one; the control plane bounds it before. `z.json()` would cost more than all other fields together. */
const jsonValue = z.unknown().meta({ id: 'JsonValue', description: 'Any JSON value.' })

export const maxPromptChars = 1_000_000

const common = {
  working_dir: text(1024).optional().meta({ description: 'Directory to run in, relative to the workspace; default its root.' }),
  workspace: z
    .string()
    .regex(workspacePattern, 'must be 1 to 63 lower-case letters, digits, _ . - and begin with a letter or digit')
    .nullable()
    .optional()
    .meta({
      description:
        'The working copy that the task holds while it is leased or running: at most one task of a project has it at a time, others wait. ' +
        `\`${mainWorkspace}\` is the project's own; another name is another working copy beside it. Null: the task holds none and runs beside ` +
        `others. Default: that of the continued session; else \`${mainWorkspace}\` for target \`project\`, null for \`pool\`.`,
      example: mainWorkspace,
    }),
  env: namesUpTo(
    100,
    'at most 100 variables',
    z.record(
      z
        .string()
        .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of an environment variable')
        .refine((name) => !name.startsWith('RDEV_'), { message: 'names that begin with RDEV_ are reserved' }),
      text(32_768),
    ),
  )
    .default({})
    .meta({
      description: 'Extra environment variables. Not a place for secrets: they are stored with the task.',
      override: { default: {} },
    }),
  timeout_s: z
    .number()
    .min(minTimeoutS)
    .max(maxTimeoutS)
    .default(3600)
    .meta({ description: 'Seconds the attempt may run, from start; the tree is killed then.' }),
  queue_ttl_s: z
    .number()
    .min(1)
    .max(7 * 86_400)
    .optional()
    .meta({ description: 'Seconds the task may wait in the queue before it fails with QUEUE_EXPIRED.' }),
  run_after: z.iso
    .datetime({ offset: true })
    .optional()
    .meta({
      description: `Not before this instant, RFC 3339, at most ${maxRunAfterDays} days ahead. One that has passed means at once.`,
      example: '2026-11-23T08:00:00.000Z',
    }),
  priority: z.int().min(0).max(1000).default(100).meta({ description: 'Lower goes first.' }),
  retry: z
    .strictObject({ max_attempts: z.int().min(1).max(20).default(1), on: z.array(z.enum(retryClasses)).max(20).default([]) })
    .default({ max_attempts: 1, on: [] })
    .meta({
      description:
        'Which failures are followed by another attempt of the same task, up to attempt number `max_attempts`. ' +
        '`infra`: its pod, image or workspace was not to be had (POD_UNAVAILABLE, WORKSPACE_ERROR, STALE_WORKER); ' +
        '`lost`: nobody can say how it ended, so it may have run; `rate_limited`: the provider refused it (RATE_LIMITED); ' +
        '`agent_error`: the agent failed or said nothing (AGENT_ERROR, EMPTY_RESULT). ' +
        'An attempt that never started is dispatched again whatever the policy says, four times. ' +
        'Before the next attempt it waits a random time below 1, 2, 4 … 60 s; after RATE_LIMITED with a known reset time, until shortly after that, at most a week. ' +
        'A task with a cancel request is not tried again.',
    }),
  target: z
    .enum(taskTargets)
    .default('project')
    .meta({ description: "`project`: the project's own pod; `pool`: any worker of the cluster, where the project has `allow_pool`." }),
  labels: label.default({}).meta({ override: { default: {} } }),
  metadata: z
    .record(z.string(), jsonValue)
    .default({})
    .refine((value) => JSON.stringify(value).length <= 16_384, { message: 'at most 16 KiB of JSON' }),
  idle_timeout_s: z
    .number()
    .min(1)
    .max(maxTimeoutS)
    .optional()
    .meta({ description: 'Seconds without any output after which the attempt is ended.' }),
}

const agentFields = {
  prompt: text(maxPromptChars).meta({ description: 'What the agent shall do.', example: 'Fix the failing test' }),
  session_id: sessionIdSchema.optional().meta({ description: 'Continue this conversation. Without it a new session begins.' }),
  model: text(128).optional(),
  allowed_tools: z
    .array(text(256).min(1))
    .max(100)
    .optional()
    .meta({ description: "Tools the agent may use without asking, in the provider's own words." }),
  permission_mode: z.enum(permissionModes).optional().meta({ description: '`bypassPermissions` only where the project allows it.' }),
  deltas: z
    .boolean()
    .default(false)
    .meta({ description: 'Also send unstored `message.delta` events while the model writes; read them with `?deltas=true`.' }),
  fail_on_denied: z
    .boolean()
    .default(false)
    .meta({ description: 'A run that was denied a tool is `failed` with TOOL_DENIED, instead of ending as the agent says.' }),
}

const shellCommand = text(100_000).min(1).meta({ description: 'A script for `sh -c`.', example: 'npm test' })
const gitCommand = z
  .array(text(4096))
  .min(1)
  .max(256)
  .meta({ description: 'Arguments of `git`. They can run any command, as a script of kind `shell` can.', example: ['status', '--short'] })

/** Runs the domain's own validation, so that API and domain cannot differ. */
const agentRules = (value: { prompt: string; timeout_s: number }, ctx: z.RefinementCtx) => {
  for (const wrong of invalidAgentRequest(value)) ctx.addIssue({ code: 'custom', path: [wrong.field], message: wrong.message })
}

export const createAgentTaskSchema = z
  .strictObject({
    kind: z.literal('agent'),
    project_id: projectIdSchema,
    provider: z.enum(agentProviders).default(agentProviders[0]),
    ...agentFields,
    ...common,
  })
  .superRefine(agentRules)
  .meta({ id: 'CreateAgentTask' })
export const createShellTaskSchema = z
  .strictObject({ kind: z.literal('shell'), project_id: projectIdSchema, command: shellCommand, ...common })
  .meta({ id: 'CreateShellTask' })
export const createGitTaskSchema = z
  .strictObject({ kind: z.literal('git'), project_id: projectIdSchema, command: gitCommand, ...common })
  .meta({ id: 'CreateGitTask' })
export const createTaskSchema = z
  .discriminatedUnion('kind', [createAgentTaskSchema, createShellTaskSchema, createGitTaskSchema])
  .meta({ id: 'CreateTask' })
export type CreateTask = z.infer<typeof createTaskSchema>

/**
 * From a valid body to what is kept: every field there, null where nothing was asked for; a workspace left out is settled later. A body
 * comes from JSON, so that a field is there with a value or not at all.
 */
export function toAskedTask({ run_after, ...body }: CreateTask): AskedTask {
  return { ...unaskedSpec, workspace: undefined, ...body, run_after: run_after === undefined ? null : Date.parse(run_after) }
}

/** Bodies of POST /v1/projects/{id}/claude|opencode|shell|git: the path says project, kind and provider. */
export const shortAgentTaskSchema = z
  .strictObject({ ...agentFields, ...common })
  .superRefine(agentRules)
  .meta({ id: 'ShortAgentTask' })
export const shortShellTaskSchema = z.strictObject({ command: shellCommand, ...common }).meta({ id: 'ShortShellTask' })
export const shortGitTaskSchema = z.strictObject({ command: gitCommand, ...common }).meta({ id: 'ShortGitTask' })

export const taskSchema = z
  .object({
    id: z.string(),
    kind: z.enum(taskKinds),
    status: z.enum(taskStatuses),
    project_id: z.string(),
    provider: z.enum(agentProviders).nullable(),
    model: z.string().nullable(),
    session_id: z.string().nullable(),
    workspace: z.string().nullable().meta({ description: 'The working copy that it holds while it is leased or running.' }),
    retry_of: z.string().nullable().meta({ description: 'The ended task that this one does again.' }),
    attempt: z.int(),
    max_attempts: z.int(),
    priority: z.int(),
    lane: z.string(),
    target: z.enum(taskTargets),
    cluster_id: z.string().nullable(),
    pod: z.string().nullable(),
    labels: z.record(z.string(), z.string()),
    metadata: z.record(z.string(), z.unknown()),
    cancel_requested_at: instantSchema.nullable(),
    created_at: instantSchema,
    run_after: instantSchema.meta({ description: 'Of a queued task: it is not started before.' }),
    started_at: instantSchema.nullable(),
    finished_at: instantSchema.nullable(),
    exit_code: z.int().nullable(),
    result: z.string().nullable(),
    error_code: z.enum(publishedTaskErrorCodes).nullable(),
    error: z.string().nullable(),
    usage: usageSchema.nullable().meta({ description: 'Tokens of all its attempts together: what its `usage` events add up to.' }),
    cost_usd: z.number().nullable().meta({ description: 'The cost of all its attempts together, as the provider estimates it.' }),
    denied_tools: z
      .array(deniedToolSchema)
      .nullable()
      .meta({ description: 'Tools that the agent asked for and was not allowed, each with how often; null if there was none.' }),
    events_url: z.string().meta({ example: '/v1/tasks/task_01k…/events' }),
  })
  .meta({ id: 'Task' })
export type TaskView = z.infer<typeof taskSchema>

/** Fields of a spec that a task shows unchanged. Prompt, command and environment are not shown. */
export const shownOfSpec = [
  'kind',
  'project_id',
  'provider',
  'model',
  'session_id',
  'priority',
  'target',
  'labels',
  'metadata',
] as const satisfies readonly (keyof TaskSpec & keyof TaskView)[]

export const taskPageSchema = pageOf(taskSchema, 'TaskPage')

export const listTasksQuery = z.strictObject({
  ...pageQuery,
  project_id: projectIdSchema.optional(),
  session_id: sessionIdSchema.optional(),
  status: z.enum(taskStatuses).optional(),
  kind: z.enum(taskKinds).optional(),
})
export const getTaskQuery = z.strictObject({
  wait_s: inQuery(z.number().min(0).max(60))
    .optional()
    .meta({ description: 'Wait up to this many seconds for the task to end; answers its state then, ended or not.' }),
})
