import type { TaskErrorCode } from './errors.ts'
import type { DeniedTool, Usage } from './event.ts'
import { attemptSpecOf } from './task.ts'
import type { AttemptSpec } from './task.ts'

/** Providers in the order of registration; the first is the default. */
export const agentProviders = ['claude-code', 'opencode'] as const
export type AgentProvider = (typeof agentProviders)[number]

/** The values of Claude Code's `--permission-mode`; other providers map them to their own policy. */
export const permissionModes = ['default', 'acceptEdits', 'plan', 'dontAsk', 'bypassPermissions'] as const
export type PermissionMode = (typeof permissionModes)[number]

/** Fields of an attempt that the runner handles, so that its code agent does not get them. */
type RunnersField = 'kind' | 'project_id' | 'command' | 'session_id' | 'working_dir' | 'workspace' | 'env' | 'fail_on_denied'
type AgentsFields = Omit<AttemptSpec, RunnersField>
/** The same fields, left out where the attempt has null. */
type Asked<Fields> = { readonly [Name in keyof Fields]?: Exclude<Fields[Name], null> | undefined }

/**
 * One run of a code agent: everything that an attempt asks of it. `bypassPermissions` is honoured only if the project allows it.
 */
export interface AgentRequest extends Asked<Omit<AgentsFields, 'provider' | 'prompt' | 'timeout_s' | 'deltas'>> {
  readonly provider: AgentProvider
  readonly prompt: string
  readonly timeout_s: number
  readonly deltas: boolean
  /** The provider's own id of the conversation to continue. */
  readonly provider_session_id?: string | undefined
}

/** `provider` is the attempt's, after the runner has checked that it has such a code agent. */
export function agentRequestOf(
  attempt: AttemptSpec & { readonly provider_session_id: string | null },
  provider: AgentProvider,
): AgentRequest {
  const {
    kind: _k,
    project_id: _i,
    command: _c,
    session_id: _s,
    working_dir: _d,
    workspace: _w,
    env: _e,
    fail_on_denied: _f,
    ...fields
  } = attemptSpecOf(attempt)
  const { provider_session_id } = attempt
  const asked: Asked<AgentsFields> = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null))
  return {
    ...asked,
    provider,
    prompt: fields.prompt ?? '',
    timeout_s: fields.timeout_s,
    deltas: fields.deltas,
    ...(provider_session_id !== null && { provider_session_id }),
  }
}

export const minTimeoutS = 1
export const maxTimeoutS = 24 * 60 * 60

export interface AgentCapabilities {
  readonly provider: AgentProvider
  readonly name: string
  readonly resume: boolean
  readonly deltas: boolean
  readonly allowed_tools: boolean
  readonly permission_modes: readonly PermissionMode[]
  readonly reports_cost: boolean
}

/** How a run ended, as its provider reports it. Outcomes are values, never thrown. */
export interface AgentResult {
  readonly status: 'succeeded' | 'failed' | 'cancelled' | 'timed_out'
  readonly result?: string | undefined
  readonly error_code?: TaskErrorCode | undefined
  readonly error?: string | undefined
  readonly exit_code?: number | undefined
  readonly usage?: Usage | undefined
  readonly cost_usd?: number | undefined
  readonly turns?: number | undefined
  readonly provider_session_id?: string | undefined
  /** Each tool once; left out if none was denied. */
  readonly denied_tools?: readonly DeniedTool[] | undefined
  /** Of a run that was ended from outside: what was still at work in it, for the words of its error. */
  readonly unfinished?: string | undefined
  /** RFC 3339; with RATE_LIMITED, when the provider says it may be tried again. */
  readonly resets_at?: string | undefined
}

/** The wrong fields, each with its reason; empty if the request is valid. */
export function invalidAgentRequest(request: Pick<AgentRequest, 'prompt' | 'timeout_s'>): readonly { field: string; message: string }[] {
  const wrong: { field: string; message: string }[] = []
  if (request.prompt.trim() === '') wrong.push({ field: 'prompt', message: 'prompt is required' })
  if (!Number.isFinite(request.timeout_s) || request.timeout_s < minTimeoutS || request.timeout_s > maxTimeoutS) {
    wrong.push({ field: 'timeout_s', message: `timeout_s must be between ${minTimeoutS} and ${maxTimeoutS} seconds` })
  }
  return wrong
}
