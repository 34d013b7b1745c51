// The state of a Claude Code run, beside the byte offset. It is stored in the cursor, so it is bounded and plain JSON.

import type { TaskErrorCode } from '@rdev/shared/domain/errors'
import { taskErrorCodes } from '@rdev/shared/domain/errors'
import { json, number, text, type Json } from '../json.ts'
import { noBackground, readBackground, type Background } from './background.ts'
import { readDenied, type Denied } from './denied.ts'
import { readOpen, readSpent, readTotal, type Open, type Spent, type Total } from './spending.ts'

/** Few tools run at once; past this number durations are not measured. */
export const maxRunningTools = 64
export interface ClaudeResult {
  readonly is_error: boolean
  readonly text: string
  readonly code?: TaskErrorCode | undefined
  /** The answer is not whole, and why it ended. */
  readonly cut?: string | undefined
}

export interface ClaudeState {
  readonly started: boolean
  readonly session?: string | undefined
  /** Tool calls without a result: id → when they began, by the pod's clock. */
  readonly running: Readonly<Record<string, number>>
  /** The provider refused because of a usage or rate limit, and may have said until when. */
  readonly limited?:
    | { readonly resets_at?: string | undefined; /** The log has an event with that time. */ readonly told?: boolean }
    | undefined
  /** The process would try again for too long, so it is stopped, and this is why. */
  readonly givenUp?: { readonly code: TaskErrorCode; readonly words: string } | undefined
  /** The code of an error, from text outside the protocol or from the protocol. */
  readonly code?: TaskErrorCode | undefined
  /** The end of the text outside the protocol. */
  readonly words: string
  /** The latest result. */
  readonly result?: ClaudeResult | undefined
  /** What the conversation had cost before this run. */
  readonly earlier?: Total | undefined
  /** What all results so far spent together, and the turns of the model in them. */
  readonly spent?: Spent | undefined
  readonly turns?: number | undefined
  /** What is known of the spending since the latest result. */
  readonly open?: Open | undefined
  /** The model is at work: the process itself may have woken it after a result. */
  readonly turn: boolean
  readonly background: Background
  /** How many background tasks the process stopped after the latest result, because it wanted to end. */
  readonly stopped?: number | undefined
  readonly denied: Denied
}

export const claudeStart: ClaudeState = { started: false, running: {}, words: '', turn: false, background: noBackground, denied: {} }

/** Nothing more is to come of this run: a process that lives on a little is not needed. */
export const isOver = (state: ClaudeState): boolean => state.result !== undefined && !state.turn && state.background.tasks.length === 0

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
    limited: state.limited === undefined ? undefined : readLimited(json(state.limited)),
    givenUp:
      state.givenUp === undefined
        ? undefined
        : { code: codeOf(json(state.givenUp).code) ?? 'AGENT_ERROR', words: text(json(state.givenUp).words) ?? '' },
    code: codeOf(state.code),
    words: text(state.words) ?? '',
    result:
      state.result === undefined
        ? undefined
        : {
            is_error: result.is_error === true,
            text: text(result.text) ?? '',
            code: codeOf(result.code),
            cut: text(result.cut),
          },
    earlier: readTotal(state.earlier),
    spent: readSpent(state.spent),
    open: readOpen(state.open),
    turns: number(state.turns),
    turn: state.turn === true,
    background: readBackground(state.background),
    stopped: number(state.stopped),
    denied: readDenied(state.denied),
  }
}

const readLimited = (limited: Json): ClaudeState['limited'] => ({
  resets_at: text(limited.resets_at),
  ...(limited.told === true && { told: true }),
})
