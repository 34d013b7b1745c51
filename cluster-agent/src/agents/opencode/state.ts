// The state of an OpenCode run: which messages and parts were emitted. It is stored in the cursor, so it is bounded and plain JSON.

import type { TaskErrorCode } from '@rdev/shared/domain/errors'
import { taskErrorCodes } from '@rdev/shared/domain/errors'
import type { Usage } from '@rdev/shared/domain/event'
import { json, list, number, text, type Json } from '../json.ts'
import { usageOf } from '../usage.ts'

/** So many names of what was not allowed are counted, cut to so many characters. */
export const maxDenied = 64
export const maxDeniedName = 128

/** So many steps in a row may call no tool. */
export const maxQuietSteps = 5

/** A run may start so many subagents; of later ones the usage is not counted. */
export const maxSubagents = 300

/** A message has one part per text and tool call; hundreds are many. Past this the oldest are dropped, and could be emitted again after a restart. */
export const maxTold = 2000

export interface OpenCodeError {
  readonly code: TaskErrorCode
  readonly message: string
  readonly resets_at?: string | undefined
}

/** A conversation that a tool call of the run's own conversation started. */
export interface Subagent {
  readonly tool_id: string
  /** Every step up to this part was counted. Ids grow with time. */
  readonly through: string
  /** Its newest message, and how many steps in a row called no tool. */
  readonly message: string
  readonly quiet: number
  /** Its list of messages: `open` while its call runs, to be read a last time, or read. */
  readonly list: 'open' | 'last' | 'read'
}

export interface OpenCodeState {
  readonly started: boolean
  readonly session?: string | undefined
  /** The message with the prompt. The agent chose its id, so that it is never sent twice. */
  readonly message?: string | undefined
  /** This message and all before it were emitted whole. Ids grow with time. */
  readonly through: string
  /** Which parts of the model's later messages were emitted. `+` marks a tool call of which only the beginning was. */
  readonly told: Readonly<Record<string, readonly string[]>>
  /** The newest message of the model that is complete. */
  readonly completed?: string | undefined
  /** How the newest message of the model ended, in the server's words. */
  readonly finish?: string | undefined
  /** A request was too long. The server makes a summary and goes on, so it is a failure only if no message after `message` ends well. */
  readonly overflow?: { readonly message: string; readonly words: string } | undefined
  /** How many steps in a row called no tool. */
  readonly quiet: number
  readonly subagents: Readonly<Record<string, Subagent>>
  /** What was not allowed, by the name of its permission, with how often. */
  readonly denied: Readonly<Record<string, number>>
  /** When the last emitted retry is due; the next one is later. */
  readonly retry: number
  readonly usage: Usage
  readonly cost_usd: number
  readonly turns: number
  /** The text of the model's last message. */
  readonly text: string
  readonly error?: OpenCodeError | undefined
}

export const openCodeStart: OpenCodeState = {
  started: false,
  through: '',
  told: {},
  quiet: 0,
  subagents: {},
  denied: {},
  retry: 0,
  usage: { input_tokens: 0, output_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0 },
  cost_usd: 0,
  turns: 0,
  text: '',
}

/** Reads the state of a cursor that the log returned. */
export function readOpenCodeState(value: unknown): OpenCodeState {
  const state = json(value)
  const error = json(state.error)
  const overflow = json(state.overflow)
  const told = Object.entries(json(state.told)).map(([id, parts]) => [id, list(parts).filter((part) => typeof part === 'string')] as const)
  return {
    started: state.started === true,
    session: text(state.session),
    message: text(state.message),
    through: text(state.through) ?? '',
    told: Object.fromEntries(told),
    completed: text(state.completed),
    finish: text(state.finish),
    overflow: state.overflow === undefined ? undefined : { message: text(overflow.message) ?? '', words: text(overflow.words) ?? '' },
    quiet: number(state.quiet) ?? 0,
    subagents: Object.fromEntries(Object.entries(json(state.subagents)).map(([id, subagent]) => [id, readSubagent(json(subagent))])),
    denied: Object.fromEntries(Object.entries(json(state.denied)).map(([name, times]) => [name, number(times) ?? 1])),
    retry: number(state.retry) ?? 0,
    usage: usageOf(state.usage),
    cost_usd: number(state.cost_usd) ?? 0,
    turns: number(state.turns) ?? 0,
    text: text(state.text) ?? '',
    error:
      state.error === undefined
        ? undefined
        : {
            code: taskErrorCodes.find((code) => code === error.code) ?? 'AGENT_ERROR',
            message: text(error.message) ?? '',
            resets_at: text(error.resets_at),
          },
  }
}

const readSubagent = (value: Json): Subagent => ({
  tool_id: text(value.tool_id) ?? '',
  through: text(value.through) ?? '',
  message: text(value.message) ?? '',
  quiet: number(value.quiet) ?? 0,
  list: value.list === 'read' || value.list === 'last' ? value.list : 'open',
})
