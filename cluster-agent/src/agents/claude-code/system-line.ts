// The lines of type `system`: the begin of a turn, retries, denials, and the state of work in the background.

import { boundText, boundValue, event, raw } from '../bounded.ts'
import { codeOfStatus, instant } from '../classify.ts'
import { number, text, type Json } from '../json.ts'
import { backgroundAfter } from './background.ts'
import { deny } from './denied.ts'
import type { ClaudeState } from './state.ts'
import { provider, stay, type Context, type Step } from './step.ts'

/** Progress that the complete messages repeat, so it is left out. */
const progress: ReadonlySet<unknown> = new Set(['thinking_tokens', 'status'])

export function system(before: ClaudeState, message: Json, context: Context): Step {
  const stopped = isStop(before, message) ? (before.stopped ?? 0) + 1 : before.stopped
  const state = { ...before, stopped, background: backgroundAfter(before.background, message) }
  switch (message.subtype) {
    case 'init':
      return init(state, message, context)
    case 'api_retry':
      return retry(state, message, context)
    case 'permission_denied': {
      const { denied, events } = deny(state.denied, message)
      return stay({ ...state, denied }, ...events)
    }
    default:
      return progress.has(message.subtype) ? stay(state) : stay(state, raw(provider, `system/${String(message.subtype)}`, message))
  }
}

/** The process gives up work in the background. What the model stops, it stops in a turn of its own. */
const isStop = ({ result, turn }: ClaudeState, { subtype, status }: Json): boolean =>
  subtype === 'task_notification' && result !== undefined && !turn && (status === 'stopped' || status === 'killed')

function init(state: ClaudeState, message: Json, context: Context): Step {
  const session = text(message.session_id) ?? state.session
  // The process repeats this at every turn that it starts by itself; the log gets it once.
  if (state.started) return stay({ ...state, session, turn: true, stopped: undefined })
  const started = event('agent.started', {
    provider,
    model: text(message.model),
    provider_session_id: session,
    tools: boundValue(message.tools ?? [], 16 * 1024),
    working_dir: text(message.cwd),
    permission_mode: text(message.permissionMode),
    version: text(message.claude_code_version),
  })
  const said = event('message.user', { text: boundText(context.prompt) })
  return stay({ ...state, started: true, session, turn: true }, started, said)
}

/** A key that was refused twice in a row is not accepted at the third try: the process alone would try for three minutes. */
const maxRefusedKeys = 2
const maxRetries = 10
/** A retry that is due later than this ends the run instead: the slot is free then, and the error says when to try again. */
const maxRetryDelayMs = 60_000

function retry(state: ClaudeState, message: Json, context: Context): Step {
  const status = number(message.error_status)
  const delayMs = number(message.retry_delay_ms) ?? 0
  const attempt = number(message.attempt) ?? 1
  const code = codeOfStatus(status) ?? 'AGENT_ERROR'
  const words = `the model answered ${status ?? 'nothing'} (${boundText(text(message.error) ?? 'unknown', 1024)}); retry ${attempt} of ${String(message.max_retries)}`
  const late = delayMs > maxRetryDelayMs
  const endless = late || attempt > maxRetries || (code === 'AUTH_FAILED' && attempt >= maxRefusedKeys)
  // A short pause is the process's own choice; only a long one is when the server said to come again.
  const limited = late && code === 'RATE_LIMITED' ? { resets_at: instant(context.now + delayMs), told: true } : undefined
  const next = { ...state, ...(limited && { limited }), ...(endless && { givenUp: { code, words } }) }
  if (code !== 'RATE_LIMITED') return stay(next, event('error', { code, message: words }))
  return stay(next, event('limit.reached', { provider, message: words, ...(limited && { resets_at: limited.resets_at }) }))
}
