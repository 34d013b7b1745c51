// Turns what OpenCode's server tells into events: (state, event) → (state, events, effects). It is pure and repeatable: a part that comes twice,
// from the stream and from the list of messages after a cut, gives one event. What the run should do (answer a permission) is an effect.

import type { EventData } from '@rdev/shared/domain/event'
import { maxResultTextBytes } from '@rdev/shared/domain/limits'
import type { NewEvent } from '../../ports.ts'
import { boundText, boundValue, event, raw } from '../bounded.ts'
import { codeOfStatus, codeOfWords, instant, resetInHeaders } from '../classify.ts'
import { count, json, list, number, objects, text, type Json } from '../json.ts'
import { maxTold, type OpenCodeError, type OpenCodeState } from './state.ts'
import { decide, type Rules } from './policy.ts'

export type Effect =
  | { readonly type: 'reply'; readonly permission: string; readonly reply: 'once' | 'reject' }
  | { readonly type: 'reject_question'; readonly question: string }
  /** The session says that it rests: look whether that is the end. */
  | { readonly type: 'idle' }
  /** The provider asks to wait longer than a run should. */
  | { readonly type: 'give_up' }

export interface OpenCodeStep {
  readonly state: OpenCodeState
  readonly events: readonly NewEvent[]
  readonly effects: readonly Effect[]
}

export interface OpenCodeContext {
  readonly rules: Rules
  readonly now: number
  /** A retry that is due later than this ends the run instead: the slot is free then, and the error says when to try again. */
  readonly maxRetryWaitMs: number
  readonly maxRetries: number
}

const provider = 'opencode'
const stay = (state: OpenCodeState, ...events: readonly NewEvent[]): OpenCodeStep => ({ state, events, effects: [] })

/** Parts that concern only the server, or that a message repeats. */
const ignored: ReadonlySet<unknown> = new Set(['step-start', 'snapshot'])

/** One event of the stream. Of other sessions (a subagent's) only the questions count: their tool call tells the rest. */
export function onEvent(state: OpenCodeState, message: Json, context: OpenCodeContext): OpenCodeStep {
  const properties = json(message.properties)
  if (message.type === 'permission.asked') return permission(state, properties, context)
  if (message.type === 'question.asked') {
    const effects: Effect[] = [{ type: 'reject_question', question: text(properties.id) ?? '' }]
    return { state, events: [], effects }
  }
  if (properties.sessionID !== state.session) return stay(state)
  switch (message.type) {
    case 'message.updated':
      return onMessage(state, json(properties.info), context)
    case 'message.part.updated':
      return onPart(state, json(properties.part))
    case 'session.error':
      return failed(state, json(properties.error), context)
    case 'session.status':
      return onStatus(state, json(properties.status), context)
    case 'session.idle':
      return { state, events: [], effects: [{ type: 'idle' }] }
    default:
      return stay(state)
  }
}

export function onStatus(state: OpenCodeState, status: Json, context: OpenCodeContext): OpenCodeStep {
  if (status.type !== 'retry') return stay(state)
  const next = number(status.next) ?? 0
  if (next <= state.retry) return stay(state)
  const words = boundText(text(status.message) ?? 'the provider refused', 4096)
  const attempt = number(status.attempt) ?? 1
  const code = codeOfWords(words) === 'RATE_LIMITED' ? 'RATE_LIMITED' : 'AGENT_ERROR'
  const resets_at = instant(next)
  const told =
    code === 'RATE_LIMITED'
      ? event('limit.reached', { provider, message: words, resets_at })
      : event('error', { code, message: `${words}; retry ${attempt}` })
  const tooLong = next - context.now > context.maxRetryWaitMs || attempt > context.maxRetries
  const error: OpenCodeError | undefined = tooLong ? { code, message: words, resets_at } : state.error
  return { state: { ...state, retry: next, error }, events: [told], effects: tooLong ? [{ type: 'give_up' }] : [] }
}

/** The facts of a message. When the model begins a newer one, all parts of the complete one before it were emitted. */
export function onMessage(state: OpenCodeState, info: Json, context: OpenCodeContext): OpenCodeStep {
  const id = text(info.id) ?? ''
  if (info.role !== 'assistant' || id <= state.through || (state.message !== undefined && id <= state.message)) return stay(state)
  let next = state
  if (state.completed !== undefined && id > state.completed) {
    const told = Object.fromEntries(Object.entries(state.told).filter(([message]) => message > state.completed!))
    next = { ...next, through: state.completed, completed: undefined, told }
  }
  // The result is the text of the model's last message, so the text of earlier ones is dropped.
  if (!(id in next.told)) next = { ...next, text: '', told: { ...next.told, [id]: [] } }
  if (number(json(info.time).completed) !== undefined) next = { ...next, completed: id }
  return info.error === undefined ? stay(next) : failed(next, json(info.error), context)
}

/** A part of one of the model's messages. */
export function onPart(state: OpenCodeState, part: Json): OpenCodeStep {
  const [message, id] = [text(part.messageID) ?? '', text(part.id) ?? '']
  const told = state.told[message]
  // The part is not the model's (the prompt, or what the server put in its place), or was emitted whole already.
  if (!told || told.includes(id)) return stay(state)
  switch (part.type) {
    case 'text': {
      if (number(json(part.time).end) === undefined || part.synthetic === true || part.ignored === true) return stay(state)
      const words = text(part.text) ?? ''
      const next = remember(state, message, id)
      if (words.trim() === '') return stay(next)
      return stay({ ...next, text: boundText(words, maxResultTextBytes) }, event('message.assistant', { text: boundText(words) }))
    }
    case 'reasoning': {
      if (number(json(part.time).end) === undefined) return stay(state)
      const words = text(part.text) ?? ''
      const next = remember(state, message, id)
      return words.trim() === '' ? stay(next) : stay(next, event('message.thinking', { text: boundText(words) }))
    }
    case 'tool':
      return tool(state, part, message, id, told)
    case 'step-finish': {
      const tokens = json(part.tokens)
      const cache = json(tokens.cache)
      const usage = {
        input_tokens: count(tokens.input),
        output_tokens: count(tokens.output) + count(tokens.reasoning),
        cache_read_tokens: count(cache.read),
        cache_write_tokens: count(cache.write),
      }
      const cost_usd = number(part.cost) ?? 0
      const total = {
        input_tokens: state.usage.input_tokens + usage.input_tokens,
        output_tokens: state.usage.output_tokens + usage.output_tokens,
        cache_read_tokens: state.usage.cache_read_tokens + usage.cache_read_tokens,
        cache_write_tokens: state.usage.cache_write_tokens + usage.cache_write_tokens,
      }
      const next = { ...remember(state, message, id), usage: total, cost_usd: state.cost_usd + cost_usd, turns: state.turns + 1 }
      return stay(next, event('usage', { ...usage, cost_usd }))
    }
    default:
      if (ignored.has(part.type)) return stay(state)
      return stay(remember(state, message, id), raw(provider, `part/${String(part.type)}`, part))
  }
}

function tool(state: OpenCodeState, part: Json, message: string, id: string, told: readonly string[]): OpenCodeStep {
  const run = json(part.state)
  if (run.status === 'pending') return stay(state)
  const tool_id = text(part.callID) ?? id
  const began = `${id}+`
  const events: NewEvent[] = []
  let next = state
  if (!told.includes(began)) {
    events.push(event('tool.started', { tool_id, name: text(part.tool) ?? '', input: boundValue(run.input ?? {}) }))
    next = remember(next, message, began)
  }
  if (run.status === 'completed' || run.status === 'error') {
    const is_error = run.status === 'error'
    const time = json(run.time)
    const [start, end] = [number(time.start), number(time.end)]
    const duration = start === undefined || end === undefined ? {} : { duration_ms: Math.max(0, end - start) }
    const output = boundText(text(is_error ? run.error : run.output) ?? '')
    events.push(event('tool.finished', { tool_id, output, is_error, ...duration }))
    next = remember(next, message, id)
  }
  return stay(next, ...events)
}

function remember(state: OpenCodeState, message: string, id: string): OpenCodeState {
  const told = { ...state.told, [message]: [...(state.told[message] ?? []), id] }
  const total = Object.values(told).reduce((sum, ids) => sum + ids.length, 0)
  if (total > maxTold) told[message] = told[message]!.slice(total - maxTold)
  return { ...state, told }
}

function permission(state: OpenCodeState, asked: Json, { rules }: OpenCodeContext): OpenCodeStep {
  const id = text(asked.id) ?? ''
  const name = text(asked.permission) ?? ''
  const patterns = list(asked.patterns).filter((pattern) => typeof pattern === 'string')
  const decision = decide(rules, name, patterns)
  const effect: Effect = { type: 'reply', permission: id, reply: decision === 'allow' ? 'once' : 'reject' }
  if (state.told.permissions?.includes(id)) return { state, events: [], effects: [effect] }
  const tool_id = text(json(asked.tool).callID)
  const events = [
    event('approval.requested', { approval_id: id, tool_id, name, patterns: boundValue(patterns, 4096), expires_at: null }),
    event('approval.resolved', { approval_id: id, tool_id, name, decision: decision === 'allow' ? 'allowed' : 'denied', by: 'policy' }),
  ]
  return { state: remember(state, 'permissions', id), events, effects: [effect] }
}

/** The meaning of the server's error `{ name, data }`. Undefined for an abort: the one who asked for it knows. */
export function errorOf(error: Json, now: number): OpenCodeError | undefined {
  const data = json(error.data)
  if (error.name === 'MessageAbortedError') return undefined
  const message = boundText(text(data.message) ?? text(error.name) ?? 'unknown error', 4096)
  const headers = json(data.responseHeaders)
  if (error.name === 'ProviderAuthError') return { code: 'AUTH_FAILED', message }
  const code = codeOfStatus(number(data.statusCode)) ?? codeOfWords(message) ?? 'AGENT_ERROR'
  return { code, message, ...(code === 'RATE_LIMITED' && { resets_at: resetInHeaders(headers, now) }) }
}

function failed(state: OpenCodeState, told: Json, { now }: OpenCodeContext): OpenCodeStep {
  const error = errorOf(told, now)
  // The session and its message tell the same error; the first one counts.
  if (!error || state.error) return stay(state)
  const { code, message, resets_at } = error
  const data: EventData = code === 'RATE_LIMITED' ? { provider, message, resets_at } : { code, message }
  return stay({ ...state, error }, event(code === 'RATE_LIMITED' ? 'limit.reached' : 'error', data))
}

/** Turns the server's list of messages, oldest first, into steps in the order of the stream. */
export function* ofMessages(messages: readonly Json[]): Generator<(state: OpenCodeState, context: OpenCodeContext) => OpenCodeStep> {
  for (const message of messages) {
    const info = json(message.info)
    const { error: _, time, ...begun } = info
    yield (state, context) => onMessage(state, { ...begun, time: { ...json(time), completed: undefined } }, context)
    for (const part of objects(message.parts)) yield (state) => onPart(state, part)
    yield (state, context) => onMessage(state, info, context)
  }
}
