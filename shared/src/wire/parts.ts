// The schemas that frames share. The type of each is checked against the domain's type of the same name.

import { z } from 'zod'
import type { Assignment, AttemptPresence, AttemptRef, Cursor } from '../domain/attempt.ts'
import { rejectReasons } from '../domain/attempt.ts'
import { agentProviders, permissionModes } from '../domain/code-agent.ts'
import { taskErrorCodes } from '../domain/errors.ts'
import type { AttemptEvent, DeniedTool, Usage } from '../domain/event.ts'
import { storedEventTypes } from '../domain/event.ts'
import { maxDeniedTools, maxToolNameChars } from '../domain/limits.ts'
import type { Pod } from '../domain/pod.ts'
import { podRoles } from '../domain/pod.ts'
import type { ObservedResource, Resource } from '../domain/resource.ts'
import { resourceStates } from '../domain/resource.ts'
import type { TaskOutcome } from '../domain/task.ts'
import { taskKinds, terminalStatuses } from '../domain/task.ts'

export const taskIdSchema = z.string().regex(/^task_[0-9a-hjkmnp-tv-z]{26}$/)
export const attemptNumberSchema = z.int().min(1).max(999_999)
const count = z.int().min(0)
/** What the database keeps of a frame. It has no NUL and no lone surrogate, because Postgres refuses them, and would refuse them at every repeat. */
const keptText = (min: number, max: number) =>
  z
    .string()
    .min(min)
    .max(max)
    .refine((text) => !text.includes('\u0000') && text.isWellFormed())
/** Milliseconds since the epoch, as far as Date and Postgres reach. */
export const wallMsSchema = z.int().min(0).max(8_640_000_000_000_000)

export const attemptRefSchema = z.object({ task_id: taskIdSchema, attempt: attemptNumberSchema }) satisfies z.ZodType<AttemptRef>

export const podSchema: z.ZodType<Pod> = z.object({
  name: keptText(1, 253),
  uid: keptText(1, 64),
  role: z.enum(podRoles),
  project_id: keptText(1, 63).nullable(),
  ready: z.boolean(),
  slots: z.int().min(0).max(1000),
  providers: z.array(z.enum(agentProviders)),
  allow_bypass_permissions: z.boolean(),
  /** Older agents do not send it. */
  detail: keptText(1, 200).optional(),
})

export const presenceSchema: z.ZodType<AttemptPresence> = attemptRefSchema.extend({
  pod: z.string(),
  state: z.enum(['running', 'exited', 'broken']),
})

export const assignmentSchema: z.ZodType<Assignment> = attemptRefSchema.extend({
  project_id: z.string(),
  pod: z.string(),
  kind: z.enum(taskKinds),
  provider: z.enum(agentProviders).nullable(),
  prompt: z.string().nullable(),
  command: z.union([z.string(), z.array(z.string())]).nullable(),
  model: z.string().nullable(),
  allowed_tools: z.array(z.string()).nullable(),
  permission_mode: z.enum(permissionModes).nullable(),
  working_dir: z.string().nullable(),
  pod_uid: z.string().nullable().default(null),
  workspace: z.string().nullable().default(null),
  env: z.record(z.string(), z.string()),
  timeout_s: z.number().positive(),
  idle_timeout_s: z.number().positive().nullable(),
  deltas: z.boolean(),
  fail_on_denied: z.boolean().default(false),
  session_id: z.string().nullable(),
  provider_session_id: z.string().nullable(),
  token: z.string(),
})

export const cursorSchema: z.ZodType<Cursor> = z.object({ stdout: count, stderr: count, state: z.unknown().optional() })

/** Events are checked by hand, because every event of a busy attempt passes here, and a zod schema would take most of a frame's time. */
const eventTypes: ReadonlySet<unknown> = new Set(storedEventTypes)
const eventTime = z.core.regexes.datetime({ precision: 3 })

function areAttemptEvents(value: unknown): value is AttemptEvent[] {
  if (!Array.isArray(value)) return false
  let lastTime: string | undefined
  for (const event of value as readonly unknown[]) {
    if (!isObject(event)) return false
    const { type, time, data } = event
    if (!eventTypes.has(type) || !isObject(data) || typeof time !== 'string') return false
    // Consecutive events often have the same time, which is checked once.
    if (time !== lastTime && !eventTime.test(time)) return false
    lastTime = time
  }
  return true
}

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const attemptEventsSchema = (max: number) => z.custom<AttemptEvent[]>((value) => areAttemptEvents(value) && value.length <= max)

export const usageSchema: z.ZodType<Usage> = z.object({
  input_tokens: count,
  output_tokens: count,
  cache_read_tokens: count,
  cache_write_tokens: count,
})

export const deniedToolSchema: z.ZodType<DeniedTool> = z.object({ name: z.string().max(maxToolNameChars), count: z.int().min(1) })

export const outcomeSchema: z.ZodType<TaskOutcome> = z.object({
  status: z.enum(terminalStatuses),
  exit_code: z.int().nullable(),
  result: z.string().nullable(),
  error_code: z.enum(taskErrorCodes).nullable(),
  error: z.string().nullable(),
  usage: usageSchema.nullable(),
  cost_usd: z.number().min(0).nullable(),
  /** Older agents do not send it. */
  denied_tools: z.array(deniedToolSchema).max(maxDeniedTools).nullable().default(null),
  duration_ms: z.number().min(0).nullable(),
  provider_session_id: z.string().max(256).nullable(),
  /** Older agents do not send it. */
  resets_at: z.int().min(0).nullable().default(null),
})

/** An unknown reason of a newer agent counts as `start_failed`. */
export const rejectReasonSchema = z.enum(rejectReasons).catch('start_failed')

/** More resources than this in one cluster are refused: the whole set must fit into one frame. */
export const maxResources = 2_000
export const resourceVersionSchema = count
/** Any kind passes: an end that does not know it reports `unsupported` instead of closing the socket. */
const resourceKindSchema = z.string().min(1).max(63)
const resourceNameSchema = z.string().min(1).max(253)

export const resourceSchema: z.ZodType<Resource> = z.object({
  kind: resourceKindSchema,
  name: resourceNameSchema,
  spec: z.record(z.string(), z.unknown()),
})

export const observedResourceSchema: z.ZodType<ObservedResource> = z.object({
  kind: resourceKindSchema,
  name: resourceNameSchema,
  /** An unknown state of a newer agent counts as `pending`. */
  state: z.enum(resourceStates).catch('pending'),
  detail: z.string().max(2000).nullable(),
})
