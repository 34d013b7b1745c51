// The state of a Claude Code run, beside the byte offset. It is stored in the cursor, so it is bounded and plain JSON.

import type { TaskErrorCode } from '@rdev/shared/domain/errors'
import { taskErrorCodes } from '@rdev/shared/domain/errors'
import type { Usage } from '@rdev/shared/domain/event'
import { json, number, text } from '../json.ts'
import { usageOf } from '../usage.ts'

/** Few tools run at once; past this number durations are not measured. */
export const maxRunningTools = 64
export interface ClaudeResult {
  readonly is_error: boolean
  readonly text: string
  readonly code?: TaskErrorCode | undefined
  readonly usage: Usage
  readonly cost_usd?: number | undefined
  readonly turns?: number | undefined
}

export interface ClaudeState {
  readonly started: boolean
  readonly session?: string | undefined
  /** Tool calls without a result: id → when they began, by the pod's clock. */
  readonly running: Readonly<Record<string, number>>
  /** The provider refused because of a usage or rate limit, and may have said until when. */
  readonly limited?: { readonly resets_at?: string | undefined } | undefined
  /** The code of an error, from text outside the protocol or from the protocol. */
  readonly code?: TaskErrorCode | undefined
  /** The end of the text outside the protocol. */
  readonly words: string
  readonly result?: ClaudeResult | undefined
}

export const claudeStart: ClaudeState = { started: false, running: {}, words: '' }

const codeOf = (value: unknown): TaskErrorCode | undefined => taskErrorCodes.find((code) => code === value)

/** Reads the state of a cursor that the log returned. */
export function readClaudeState(value: unknown): ClaudeState {
  const state = json(value)
  const result = json(state.result)
  const running = Object.entries(json(state.running)).filter((entry): entry is [string, number] => typeof entry[1] === 'number')
  return {
    started: state.started === true,
    session: text(state.session),
    running: Object.fromEntries(running),
    limited: state.limited === undefined ? undefined : { resets_at: text(json(state.limited).resets_at) },
    code: codeOf(state.code),
    words: text(state.words) ?? '',
    result:
      state.result === undefined
        ? undefined
        : {
            is_error: result.is_error === true,
            text: text(result.text) ?? '',
            code: codeOf(result.code),
            usage: usageOf(result.usage),
            cost_usd: number(result.cost_usd),
            turns: number(result.turns),
          },
  }
}
