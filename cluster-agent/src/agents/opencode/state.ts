// The state of an OpenCode run: which messages and parts were emitted. It is stored in the cursor, so it is bounded and plain JSON.

import type { TaskErrorCode } from '@rdev/shared/domain/errors'
import { taskErrorCodes } from '@rdev/shared/domain/errors'
import type { Usage } from '@rdev/shared/domain/event'
import { json, list, number, text } from '../json.ts'
import { usageOf } from '../usage.ts'

/** A message has one part per text and tool call; hundreds are many. Past this the oldest are dropped, and could be emitted again after a restart. */
export const maxTold = 2000

export interface OpenCodeError {
  readonly code: TaskErrorCode
  readonly message: string
  readonly resets_at?: string | undefined
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
  const told = Object.entries(json(state.told)).map(([id, parts]) => [id, list(parts).filter((part) => typeof part === 'string')] as const)
  return {
    started: state.started === true,
    session: text(state.session),
    message: text(state.message),
    through: text(state.through) ?? '',
    told: Object.fromEntries(told),
    completed: text(state.completed),
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
