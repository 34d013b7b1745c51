// The outcome of an attempt, from the code agent's result and the exit record. The exit record decides about cancel and time limits: a process
// that ended by itself before it was stopped is reported as it ended.

import type { ExitRecord } from '@rdev/shared/domain/attempt'
import type { AgentResult } from '@rdev/shared/domain/code-agent'
import { maxDeniedTools, maxResultTextBytes, maxToolNameChars } from '@rdev/shared/domain/limits'
import type { TaskKind, TaskOutcome } from '@rdev/shared/domain/task'
import { outcome } from '@rdev/shared/domain/task'
import { truncateUtf8 } from '@rdev/shared/domain/text'
import { isWorkspaceFailure, workspaceFailure } from '../workspaces/workspace.ts'

/** The limit of an error's text. */
export const maxErrorBytes = 4 * 1024

export interface Ending {
  readonly kind: TaskKind
  /** Undefined: the code agent gave no result. */
  readonly result: AgentResult | undefined
  /** Undefined: its pod is gone, or tells nothing. */
  readonly record: ExitRecord | undefined
  /** Why the runner stopped the tree, if it did. It only chooses the words of the error. */
  readonly cause: 'cancelled' | 'idle' | 'shutdown' | 'overdue' | undefined
  /** Its pod is there, and told neither its start nor its end long after the time limit. */
  readonly givenUp: boolean
  /** The task asked that a run which was denied a tool counts as failed. */
  readonly failOnDenied: boolean
}

const diskFull = 'the disk of the pod was full, so the output may be cut'

export function outcomeOf(ending: Ending): TaskOutcome {
  const end = endOf(ending)
  if (!ending.record?.disk_full) return end
  return { ...end, error: end.error === null ? diskFull : `${end.error}; ${diskFull}` }
}

function endOf(ending: Ending): TaskOutcome {
  const { record, result, cause, givenUp } = ending
  if (!record) {
    const error = givenUp
      ? 'its pod told nothing of it until long after the time limit; a process of it may still run there'
      : 'the pod is gone'
    return outcome('lost', { error_code: 'LOST', error, ...factsOf(ending, undefined) })
  }
  const facts = factsOf(ending, record)
  switch (record.reason) {
    case 'cancelled':
      return outcome('cancelled', { ...facts, error_code: 'CANCELLED', error: 'cancelled while it ran' })
    case 'timeout': {
      const error = cause === 'idle' ? 'no output for idle_timeout_s' : 'the time limit was reached'
      const still = result?.unfinished === undefined ? '' : `, with ${result.unfinished} still running`
      return outcome('timed_out', { ...facts, error_code: 'TIMEOUT', error: `${error}${still}` })
    }
    case 'orphaned':
      return outcome('failed', {
        ...facts,
        error_code: 'STALE_WORKER',
        error: 'the pod had no contact with its agent for too long, and ended it',
      })
    case 'supervisor_died':
      return outcome('failed', { ...facts, error_code: 'LOST', error: 'its supervisor was killed; the output may be incomplete' })
    case 'container_gone':
      // Its directory is on a volume that outlived its container. The attempt is as lost as with its pod, and its exit code is unknown.
      return outcome('lost', {
        ...facts,
        exit_code: null,
        error_code: 'LOST',
        error: 'its container is gone; the output may be incomplete',
      })
    case 'stopped':
      // A code agent stops a process that it needs no more (a server, a CLI that does not exit) and has a result then. A command has none.
      if (ending.kind === 'agent' && result && (cause !== 'shutdown' || result.status !== 'failed')) break
      return outcome('failed', { ...facts, error_code: 'POD_UNAVAILABLE', error: 'it was stopped because its agent was shut down' })
    case 'exited':
      if (isWorkspaceFailure(record)) return outcome('failed', { ...facts, error_code: 'WORKSPACE_ERROR', error: workspaceFailure.trim() })
  }
  return result ? fromResult(ending, result, facts) : outcome('failed', { ...facts, ...lacking(record) })
}

const lacking = (record: ExitRecord) =>
  ({ error_code: 'INTERNAL', error: `the process gave no result (exit code ${record.exit_code})` }) as const

function fromResult({ kind, failOnDenied }: Ending, result: AgentResult, facts: Partial<TaskOutcome>): TaskOutcome {
  const error = result.error === undefined ? null : truncateUtf8(result.error, maxErrorBytes).text
  switch (result.status) {
    case 'succeeded':
      if (kind === 'agent' && !result.result?.trim()) {
        return outcome('failed', { ...facts, error_code: 'EMPTY_RESULT', error: 'it ended without an answer' })
      }
      if (failOnDenied && facts.denied_tools) {
        const names = facts.denied_tools.map(({ name, count }) => (count === 1 ? name : `${name} (${count} times)`))
        return outcome('failed', {
          ...facts,
          error_code: 'TOOL_DENIED',
          error: truncateUtf8(`it was denied ${names.join(', ')}`, maxErrorBytes).text,
        })
      }
      return outcome('succeeded', facts)
    case 'cancelled':
      return outcome('cancelled', { ...facts, error_code: 'CANCELLED', error: error ?? 'cancelled while it ran' })
    case 'timed_out':
      return outcome('timed_out', { ...facts, error_code: 'TIMEOUT', error: error ?? 'the time limit was reached' })
    case 'failed':
      return outcome('failed', { ...facts, error_code: result.error_code ?? (kind === 'agent' ? 'AGENT_ERROR' : null), error })
  }
}

function factsOf({ kind, result }: Ending, record: ExitRecord | undefined): Partial<TaskOutcome> {
  return {
    // The exit code of a server that was stopped says nothing about the run; that of a command is its result.
    exit_code: result?.exit_code ?? (record && (kind !== 'agent' || record.reason === 'exited') ? record.exit_code : null),
    result: result?.result === undefined ? null : bounded(result.result),
    usage: result?.usage ?? null,
    cost_usd: result?.cost_usd ?? null,
    denied_tools: deniedOf(result),
    duration_ms: record ? Math.max(0, record.ended_at - record.started_at) : null,
    provider_session_id: result?.provider_session_id ?? null,
    resets_at: result?.error_code === 'RATE_LIMITED' ? instantOf(result.resets_at) : null,
  }
}

function deniedOf(result: AgentResult | undefined): TaskOutcome['denied_tools'] {
  const denied = result?.denied_tools ?? []
  if (denied.length === 0) return null
  return denied.slice(0, maxDeniedTools).map(({ name, count }) => ({ name: name.slice(0, maxToolNameChars), count }))
}

/** Null if the text is not a time. */
function instantOf(time: string | undefined): number | null {
  const at = Date.parse(time ?? '')
  return Number.isNaN(at) || at < 0 ? null : at
}

function bounded(text: string): string {
  const cut = truncateUtf8(text, maxResultTextBytes)
  return cut.removed === 0 ? text : `${cut.text}\n… [${cut.removed} bytes removed]`
}
