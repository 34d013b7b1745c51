// Turns what OpenCode's server tells into events: (state, event) → (state, events, effects). It is pure and repeatable: a part that comes twice,
// from the stream and from the list of messages after a cut, gives one event. What the run should do (answer a permission) is an effect.

import { maxResultTextBytes } from '@rdev/shared/domain/limits'
import type { NewEvent } from '../../ports.ts'
import { boundText, boundValue, event, raw } from '../bounded.ts'
import { codeOfStatus, codeOfWords, instant, resetInHeaders } from '../classify.ts'
import { json, list, number, objects, text, type Json } from '../json.ts'
import { maxDenied, maxDeniedName, maxTold, type OpenCodeError, type OpenCodeState } from './state.ts'
import { bounded, countStep, fail, stay, type Effect, type OpenCodeContext, type OpenCodeStep } from './step.ts'
import { isSubagent, onSubagent, withSubagent } from './subagents.ts'
import { decide } from './policy.ts'

const provider = 'opencode'

/** Parts that concern only the server, or that a message repeats. */
const ignored: ReadonlySet<unknown> = new Set(['step-start', 'snapshot'])

/** In `told`: the message is the server's summary of the conversation. */
const summaryMark = '~summary'

/** One event of the stream. Of a subagent's conversation the questions, the waits and the usage count: its tool call tells the rest. */
export function onEvent(state: OpenCodeState, message: Json, context: OpenCodeContext): OpenCodeStep {
  const properties = json(message.properties)
  if (message.type === 'permission.asked') return permission(state, properties, context)
  if (message.type === 'question.asked') {
    const effects: Effect[] = [{ type: 'reject_question', question: text(properties.id) ?? '' }]
    return { state, events: [], effects }
  }
  if (message.type === 'session.status' && (properties.sessionID === state.session || isSubagent(state, properties.sessionID)))
    return onStatus(state, json(properties.status), context)
  if (properties.sessionID !== state.session) return onSubagent(state, message)
  switch (message.type) {
    case 'message.updated':
      return onMessage(state, json(properties.info), context)
    case 'message.part.updated':
      return onPart(state, json(properties.part))
    case 'session.error':
      return failed(state, json(properties.error), context)
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
  const code = codeOfWords(words) ?? 'AGENT_ERROR'
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
  const isSummary = info.summary === true
  let begun = stay(next)
  if (!(id in next.told)) {
    // The result is the text of the model's last message, so the text of earlier ones is dropped.
    const quiet = isSummary ? next.quiet : next.quiet + 1
    next = { ...next, text: '', finish: undefined, quiet, told: { ...next.told, [id]: isSummary ? [summaryMark] : [] } }
    begun = bounded(next, quiet)
    next = begun.state
  }
  const error = json(info.error)
  if (number(json(info.time).completed) !== undefined) {
    const finish = error.name === 'MessageAbortedError' ? 'aborted' : text(info.finish)
    next = { ...next, completed: id, finish }
    // The server made a summary of what was too long, and the model went on.
    if (next.overflow && id > next.overflow.message && !isSummary && info.error === undefined) next = { ...next, overflow: undefined }
  }
  const ended = info.error === undefined ? stay(next) : failed(next, error, context)
  return { state: ended.state, events: [...begun.events, ...ended.events], effects: begun.effects }
}

/** What the end of the newest message says against its answer. */
const cuts: Readonly<Record<string, string>> = {
  length: 'the answer was cut: it reached the limit of its tokens, or the context window was full',
  aborted: 'the server stopped its answer',
}

const newest = (state: OpenCodeState): string | undefined =>
  Object.keys(state.told)
    .filter((id) => id.startsWith('msg_'))
    .sort()
    .at(-1)

/** Whether a tool call was begun and not ended. */
export const hasOpenCalls = (state: OpenCodeState): boolean =>
  Object.values(state.told).some((ids) => ids.some((id) => id.endsWith('+') && !ids.includes(id.slice(0, -1))))

/** The server rests. The run is over if the model's newest message is complete, or an error ended it. */
export function onRest(state: OpenCodeState): OpenCodeStep & { readonly over: boolean } {
  if (state.error) return { ...stay(state), over: true }
  const last = newest(state)
  if (last === undefined || last !== state.completed) return { ...stay(state), over: false }
  const message = state.overflow?.words ?? cuts[state.finish ?? '']
  return { ...(message === undefined ? stay(state) : fail(state, { code: 'AGENT_ERROR', message })), over: true }
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
      if (told.includes(summaryMark)) return stay(next, raw(provider, 'summary', { text: words }))
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
    case 'step-finish':
      return countStep({ ...remember(state, message, id), turns: state.turns + 1 }, part)
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
  let next = withSubagent({ ...state, quiet: 0 }, part)
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
  const next = remember(state, 'permissions', id)
  return { state: decision === 'allow' ? next : denied(next, name.slice(0, maxDeniedName)), events, effects: [effect] }
}

function denied(state: OpenCodeState, name: string): OpenCodeState {
  const times = Object.hasOwn(state.denied, name) ? state.denied[name]! : 0
  if (times === 0 && Object.keys(state.denied).length >= maxDenied) return state
  return { ...state, denied: { ...state.denied, [name]: times + 1 } }
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
  if (told.name === 'ContextOverflowError') {
    // The server goes on by itself if it can: only at its rest this is known to be the end.
    if (state.error || state.overflow) return stay(state)
    const words = boundText(text(json(told.data).message) ?? 'the conversation is too long', 4096)
    return stay(
      { ...state, overflow: { message: newest(state) ?? '', words } },
      raw(provider, 'session.error', { name: told.name, message: words }),
    )
  }
  const error = errorOf(told, now)
  // The session and its message tell the same error.
  return error ? fail(state, error) : stay(state)
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
