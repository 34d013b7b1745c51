// What must be remembered of a Claude Code run beyond the byte offset. It travels in the cursor, so it is bounded and plain JSON.

import type { TaskErrorCode } from '@rdev/shared/domain/errors'
import { taskErrorCodes } from '@rdev/shared/domain/errors'
import type { Usage } from '@rdev/shared/domain/event'
import { json, number, text } from '../json.ts'
import { usageOf } from '../usage.ts'

/** Tools that run at once are few; past this their durations are not told. */
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
  /** Tool calls without an answer: id → when they began, by the pod's clock. */
  readonly running: Readonly<Record<string, number>>
  /** The provider refused for usage or rate, and perhaps said until when. */
  readonly limited?: { readonly resets_at?: string | undefined } | undefined
  /** What words outside the protocol, or an error in it, meant. */
  readonly code?: TaskErrorCode | undefined
  /** The end of what was said outside the protocol. */
  readonly words: string
  readonly result?: ClaudeResult | undefined
}

export const claudeStart: ClaudeState = { started: false, running: {}, words: '' }

const codeOf = (value: unknown): TaskErrorCode | undefined => taskErrorCodes.find((code) => code === value)

/** The state of a cursor, as it came back from the log. */
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
