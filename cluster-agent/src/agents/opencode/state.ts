// What must be remembered of an OpenCode run: which messages and parts were told. It travels in the cursor, so it is bounded and plain JSON.

import type { TaskErrorCode } from '@rdev/shared/domain/errors'
import { taskErrorCodes } from '@rdev/shared/domain/errors'
import type { Usage } from '@rdev/shared/domain/event'
import { json, list, number, text } from '../json.ts'
import { usageOf } from '../usage.ts'

/** A message has one part per text and tool call; hundreds are many. Past this the oldest are forgotten, and could be told again after a restart. */
export const maxTold = 2000

export interface OpenCodeError {
  readonly code: TaskErrorCode
  readonly message: string
  readonly resets_at?: string | undefined
}

export interface OpenCodeState {
  readonly started: boolean
  readonly session?: string | undefined
  /** Ours, with the prompt. Its id was chosen by us, so that it is never sent twice. */
  readonly message?: string | undefined
  /** This message and all before it were told whole. Ids grow with time. */
  readonly through: string
  /** Of the model's messages after it: which of their parts were told. `+` marks a tool call whose beginning was. */
  readonly told: Readonly<Record<string, readonly string[]>>
  /** The newest message of the model that is complete. */
  readonly completed?: string | undefined
  /** When the last retry that was told of is due; the next one is later. */
  readonly retry: number
  readonly usage: Usage
  readonly cost_usd: number
  readonly turns: number
  /** The last thing that the model said. */
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

/** The state of a cursor, as it came back from the log. */
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
