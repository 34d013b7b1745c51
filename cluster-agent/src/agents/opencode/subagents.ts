// Conversations that the run's own one started with its tool `task`. What they say is their call's output; what they cost is the run's, and a
// subagent that repeats itself ends the run. Pure and repeatable, as events.ts is.

import { json, objects, text, type Json } from '../json.ts'
import { maxSubagents, type OpenCodeState, type Subagent } from './state.ts'
import { bounded, countStep, stay, type OpenCodeStep } from './step.ts'

export const isSubagent = (state: OpenCodeState, session: unknown): session is string =>
  typeof session === 'string' && Object.hasOwn(state.subagents, session)

const changed = (state: OpenCodeState, session: string, subagent: Subagent): OpenCodeState => ({
  ...state,
  subagents: { ...state.subagents, [session]: subagent },
})

/** Notes the conversation that a tool call started, or goes on with. */
export function withSubagent(state: OpenCodeState, part: Json): OpenCodeState {
  const run = json(part.state)
  const session = text(json(run.metadata).sessionId)
  if (part.tool !== 'task' || session === undefined || session === state.session) return state
  const known = isSubagent(state, session) ? state.subagents[session] : undefined
  if (!known && Object.keys(state.subagents).length >= maxSubagents) return state
  const tool_id = text(part.callID) ?? ''
  const over = run.status === 'completed' || run.status === 'error'
  const before: Subagent = known?.tool_id === tool_id ? known : { through: '', message: '', quiet: 0, ...known, tool_id, list: 'open' }
  return changed(state, session, over && before.list === 'open' ? { ...before, list: 'last' } : before)
}

/** An event of a subagent's conversation. */
export function onSubagent(state: OpenCodeState, message: Json): OpenCodeStep {
  const properties = json(message.properties)
  const session = properties.sessionID
  if (!isSubagent(state, session)) return stay(state)
  switch (message.type) {
    case 'message.updated':
      return onMessage(state, session, json(properties.info))
    case 'message.part.updated':
      return onPart(state, session, json(properties.part))
    default:
      return stay(state)
  }
}

/** A subagent may go on with what it began for an earlier task. Ids grow with time, so those messages are before the prompt. */
const isOlder = (state: OpenCodeState, id: string): boolean => state.message !== undefined && id <= state.message

function onMessage(state: OpenCodeState, session: string, info: Json): OpenCodeStep {
  const subagent = state.subagents[session]!
  const id = text(info.id) ?? ''
  if (info.role !== 'assistant' || isOlder(state, id) || id <= subagent.message) return stay(state)
  const quiet = info.summary === true ? subagent.quiet : subagent.quiet + 1
  return bounded(changed(state, session, { ...subagent, message: id, quiet }), quiet)
}

function onPart(state: OpenCodeState, session: string, part: Json): OpenCodeStep {
  const subagent = state.subagents[session]!
  const id = text(part.id) ?? ''
  if (isOlder(state, text(part.messageID) ?? '')) return stay(state)
  if (part.type === 'tool') return stay(withSubagent(changed(state, session, { ...subagent, quiet: 0 }), part))
  if (part.type !== 'step-finish' || id <= subagent.through) return stay(state)
  return countStep(changed(state, session, { ...subagent, through: id }), part, { parent_tool_id: subagent.tool_id })
}

/** Those whose list of messages may have what the stream missed: until their call has ended, and once after. */
export const subagentsToRead = (state: OpenCodeState): readonly string[] =>
  Object.keys(state.subagents).filter((session) => state.subagents[session]!.list !== 'read')

/** Turns a subagent's list of messages, oldest first, into steps in the order of the stream. */
export function* ofSubagent(session: string, messages: readonly Json[]): Generator<(state: OpenCodeState) => OpenCodeStep> {
  for (const { info, parts } of messages) {
    yield (state) => onSubagent(state, { type: 'message.updated', properties: { sessionID: session, info } })
    for (const part of objects(parts))
      yield (state) => onSubagent(state, { type: 'message.part.updated', properties: { sessionID: session, part } })
  }
  yield (state) => {
    const subagent = isSubagent(state, session) ? state.subagents[session] : undefined
    return stay(subagent?.list === 'last' ? changed(state, session, { ...subagent, list: 'read' }) : state)
  }
}
