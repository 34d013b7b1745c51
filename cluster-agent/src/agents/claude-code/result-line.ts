// The line of a result, of which a run may have several: each time that work in the background wakes the model, there is another.

import { maxResultTextBytes } from '@rdev/shared/domain/limits'
import { boundText, event } from '../bounded.ts'
import { codeOfStatus, codeOfWords } from '../classify.ts'
import { number, parseObject, parseValue, text, type Json } from '../json.ts'
import type { Line } from '../lines.ts'
import { denyAll } from './denied.ts'
import { spend, spendCut, type Total } from './spending.ts'
import type { ClaudeState } from './state.ts'
import { provider, stay, type Step } from './step.ts'

/** Why an answer ended that is not whole. The process goes on by itself where it can, so with the last result it could not. */
const cutReasons = ['pause_turn', 'max_tokens', 'model_context_window_exceeded'] as const

export function result(state: ClaudeState, message: Json): Step {
  const is_error = message.is_error === true || (typeof message.subtype === 'string' && message.subtype.startsWith('error'))
  const errors = Array.isArray(message.errors) ? message.errors.filter((error) => typeof error === 'string').join('\n') : ''
  const words = text(message.result) ?? errors
  const code = is_error ? (codeOfStatus(number(message.api_error_status)) ?? codeOfWords(words) ?? state.code ?? 'AGENT_ERROR') : undefined
  const said = boundText(words === '' && is_error ? String(message.subtype) : words, maxResultTextBytes)
  const cut = cutReasons.find((reason) => reason === message.stop_reason)
  return ended({ ...state, session: text(message.session_id) ?? state.session }, message, { is_error, code, text: said, cut })
}

/** The state after a result: the turn is over, and what it spent is added to what those before it did. */
function ended(state: ClaudeState, facts: Json, result: NonNullable<ClaudeState['result']>): Step {
  const { part, spent } = spend(state.spent, state.earlier, facts)
  const turns = (state.turns ?? 0) + (number(facts.num_turns) ?? 0)
  const { denied, events } = denyAll(state.denied, facts.permission_denials)
  const next = { ...state, turn: false, open: undefined, spent, turns, denied, result }
  return stay(next, ...events, event('usage', { ...part.usage, cost_usd: part.cost_usd }))
}

/** After the last line of a run that was cut: what its last turn spent is told, and counted. `last` is the total that the program kept. */
export function cutOff(state: ClaudeState, last: Total | undefined): Step {
  const cut = isCut(state) ? spendCut(state.spent, state.earlier, state.open, last) : undefined
  if (!cut) return stay(state)
  const { part, spent } = cut
  return stay({ ...state, turn: false, open: undefined, spent }, event('usage', { ...part.usage, cost_usd: part.cost_usd, cut: true }))
}

/** There is no result of the latest turn. */
export const isCut = (state: ClaudeState): boolean => state.turn || state.open !== undefined

/** A line that is too long to be parsed. Its type is read from its two ends, so that a final result is not missed. */
export function longLine(state: ClaudeState, line: Line): Step {
  const ends = `${line.text}\n${line.tail}`
  const cut = { beginning: boundText(line.text, 8 * 1024), removed: line.removed }
  const kept = event('provider.raw', { provider, type: 'line/too-long', data: cut })
  if (!line.text.startsWith('{"type":"result"') && !/"type":"result",/.test(line.tail.slice(-endOfResult))) return stay(state, kept)
  const is_error = /"is_error":true/.test(ends)
  // The match ends after a whole escape, so that it is a JSON string.
  const words = text(parseValue(`"${/"result":"((?:[^"\\]|\\u[0-9a-f]{4}|\\[^u])*)/i.exec(line.text)?.[1] ?? ''}"`)) ?? ''
  const found = (name: string) => {
    const value = Number(new RegExp(`"${name}":([\\d.]+)`).exec(ends)?.[1])
    return Number.isFinite(value) ? value : undefined
  }
  // The parts of each model are the last field, so they are whole in the end that was kept.
  const at = line.tail.lastIndexOf('"model_usage_since_last_result":')
  const parts = at < 0 ? undefined : parseObject(`{${line.tail.slice(at)}`)
  const usage = Object.fromEntries(usageNames.map((name) => [name, found(name)]))
  const facts = { ...parts, usage, total_cost_usd: found('total_cost_usd'), num_turns: found('num_turns') }
  const cutWords = boundText(`${words}\n… [${line.removed} bytes removed]`, maxResultTextBytes)
  const code = is_error ? (state.code ?? ('AGENT_ERROR' as const)) : undefined
  const step = ended(state, facts, { is_error, code, text: cutWords })
  return { ...step, events: [kept, ...step.events] }
}

/** A result line has its type after its text, among the last fields. */
const endOfResult = 8 * 1024
const usageNames = ['input_tokens', 'output_tokens', 'cache_read_input_tokens', 'cache_creation_input_tokens']
