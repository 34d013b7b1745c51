// Parses `claude --output-format stream-json` line by line: (state, line) → (state, events). It is pure, so reading on after any line with the
// state that was stored there gives exactly the missing events.

import type { EventData } from '@rdev/shared/domain/event'
import type { NewEvent } from '../../ports.ts'
import { boundText, boundValue, event, maxWordsLength, raw } from '../bounded.ts'
import { codeOfStatus, codeOfWords, instant, resetInWords } from '../classify.ts'
import { longLine, result } from './result-line.ts'
import { totalOfLine, withMessage } from './spending.ts'
import { provider, stay, type Context, type Step } from './step.ts'
import { system } from './system-line.ts'
import { maxRunningTools, type ClaudeState } from './state.ts'
import { json, number, objects, parseObject, text, type Json } from '../json.ts'
import type { Line } from '../lines.ts'

/** A line of stderr, or one of stdout that is not of the protocol. */
export function parseWords(state: ClaudeState, stream: 'stdout' | 'stderr', words: string): Step {
  const resets_at = resetInWords(words)
  const code = state.code ?? codeOfWords(words)
  const limited = state.limited ?? (code === 'RATE_LIMITED' ? { resets_at } : undefined)
  const kept = `${state.words}${words.slice(0, maxWordsLength)}\n`.slice(-maxWordsLength)
  const next = { ...state, code, limited, words: kept }
  return stay(next, event('output', { stream, text: boundText(`${words}\n`) }))
}

export function parseLine(state: ClaudeState, line: Line, context: Context): Step {
  if (line.removed > 0) return longLine(state, line)
  if (line.text.trim() === '') return stay(state)
  const message = parseObject(line.text)
  if (!message || typeof message.type !== 'string') return parseWords(state, 'stdout', line.text)
  switch (message.type) {
    case 'system':
      return system(state, message, context)
    case 'assistant':
      return assistant(state, message)
    case 'user':
      return user(state, message)
    case 'result':
      return result(state, message)
    case 'stream_event':
      return partial(state, message)
    case 'rate_limit_event':
      return rateLimit(state, message)
    default: {
      // The script prints it before the process starts (costs.ts).
      const earlier = state.started ? undefined : totalOfLine(message)
      return earlier ? stay({ ...state, earlier }) : stay(state, raw(provider, message.type, message))
    }
  }
}

/** Messages of a subagent name the tool call that they belong to. */
const parentOf = (message: Json): EventData => {
  const parent = text(message.parent_tool_use_id)
  return parent === undefined ? {} : { parent_tool_id: parent }
}

const timeOf = (message: Json): number | undefined => {
  const time = Date.parse(text(message.timestamp) ?? '')
  return Number.isFinite(time) ? time : undefined
}

function assistant(state: ClaudeState, message: Json): Step {
  const content = objects(json(message.message).content)
  const words = content.map((block) => text(block.text) ?? '').join('\n')
  if (typeof message.error === 'string') return refused(state, message, words)

  const parent = parentOf(message)
  const running: Record<string, number> = { ...state.running }
  const events = content.map((block): NewEvent => {
    switch (block.type) {
      case 'text':
        return event('message.assistant', { text: boundText(text(block.text) ?? ''), ...parent })
      case 'thinking':
        return event('message.thinking', { text: boundText(text(block.thinking) ?? ''), ...parent })
      case 'tool_use': {
        const tool_id = text(block.id) ?? ''
        const time = timeOf(message)
        if (time !== undefined && Object.keys(running).length < maxRunningTools) running[tool_id] = time
        return event('tool.started', { tool_id, name: text(block.name) ?? '', input: boundValue(block.input ?? {}), ...parent })
      }
      default:
        return raw(provider, `assistant/${String(block.type)}`, block)
    }
  })
  // The model answers, so whatever refused it before has passed.
  const turn = state.turn || !('parent_tool_id' in parent)
  const open = withMessage(state.open, json(message.message))
  return stay({ ...state, running, turn, open, code: undefined, limited: undefined }, ...events)
}

/** A message that the CLI wrote in place of the model, because the provider's API refused. */
function refused(state: ClaudeState, message: Json, words: string): Step {
  const code = codeOfStatus(number(message.api_error_status)) ?? codeOfWords(`${String(message.error)} ${words}`) ?? 'AGENT_ERROR'
  if (code !== 'RATE_LIMITED') return stay({ ...state, code }, event('error', { code, message: boundText(words, 4096) }))
  // The event about the limit, if there was one, is more exact.
  if (state.limited?.told) return stay({ ...state, code })
  const resets_at = resetInWords(words)
  return stay({ ...state, code, limited: { resets_at } }, event('limit.reached', { provider, message: boundText(words, 4096), resets_at }))
}

/** A tool's output is text, or a list of blocks of which only the texts are kept. */
function outputOf(content: unknown): string {
  if (typeof content === 'string') return content
  return objects(content)
    .map((block) => text(block.text) ?? `[${String(block.type)}]`)
    .join('\n')
}

function user(state: ClaudeState, message: Json): Step {
  const { content } = json(message.message)
  const parent = parentOf(message)
  const running: Record<string, number> = { ...state.running }
  const blocks = typeof content === 'string' ? [{ type: 'text', text: content }] : objects(content)
  const events = blocks.map((block): NewEvent => {
    if (block.type === 'text') return event('message.user', { text: boundText(text(block.text) ?? ''), synthetic: true, ...parent })
    if (block.type !== 'tool_result') return raw(provider, `user/${String(block.type)}`, block)
    const tool_id = text(block.tool_use_id) ?? ''
    const [began, ended] = [running[tool_id], timeOf(message)]
    delete running[tool_id]
    const duration = began === undefined || ended === undefined ? {} : { duration_ms: Math.max(0, ended - began) }
    const output = boundText(outputOf(block.content))
    return event('tool.finished', { tool_id, output, is_error: block.is_error === true, ...duration, ...parent })
  })
  return stay({ ...state, running }, ...events)
}

function partial(state: ClaudeState, message: Json): Step {
  const delta = json(json(message.event).delta)
  const words = delta.type === 'text_delta' ? text(delta.text) : delta.type === 'thinking_delta' ? text(delta.thinking) : undefined
  if (words === undefined) return stay(state)
  return { state, events: [], deltas: [{ kind: delta.type === 'text_delta' ? 'text' : 'thinking', text: words, ...parentOf(message) }] }
}

function rateLimit(state: ClaudeState, message: Json): Step {
  const info = json(message.rate_limit_info)
  if (info.status !== 'rejected') return stay(state, raw(provider, 'rate_limit_event', info))
  const resets_at = instant(number(info.resetsAt))
  const limit = text(info.rateLimitType)
  return stay({ ...state, limited: { resets_at, told: true } }, event('limit.reached', { provider, limit, resets_at }))
}
