// What a run was not allowed. 2.1.290 and newer tell each denial when it happens, older versions only in the result; both are told once.

import type { DeniedTool } from '@rdev/shared/domain/event'
import { maxDeniedTools, maxToolNameChars } from '@rdev/shared/domain/limits'
import type { NewEvent } from '../../ports.ts'
import { boundText, event } from '../bounded.ts'
import { json, objects, text, type Json } from '../json.ts'

/** Tool call → name of the tool. */
export type Denied = Readonly<Record<string, string>>

/** Past this number denials are events only, and are not counted: the state of a run is bounded. */
const maxDenied = 256

interface Told {
  readonly denied: Denied
  readonly events: readonly NewEvent[]
}

/** `message` has `tool_use_id` and `tool_name`. */
export function deny(denied: Denied, message: Json): Told {
  const tool_id = text(message.tool_use_id) ?? ''
  const name = text(message.tool_name) ?? ''
  if (Object.hasOwn(denied, tool_id)) return { denied, events: [] }
  const full = Object.keys(denied).length >= maxDenied || tool_id.length > 256
  const words = text(message.message)
  const asked = { tool_id, name, ...(words !== undefined && { message: boundText(words, 4096) }), expires_at: null }
  return {
    denied: full ? denied : { ...denied, [tool_id]: name.slice(0, maxToolNameChars) },
    events: [event('approval.requested', asked), event('approval.resolved', { tool_id, name, decision: 'denied', by: 'policy' })],
  }
}

/** The denials that a result lists, of which most were told before. */
export function denyAll(denied: Denied, list: unknown): Told {
  const room = Math.max(0, maxDenied - Object.keys(denied).length)
  const fresh = objects(list).filter((message) => !Object.hasOwn(denied, text(message.tool_use_id) ?? ''))
  return fresh.slice(0, room).reduce<Told>(
    (told, message) => {
      const next = deny(told.denied, message)
      return { denied: next.denied, events: [...told.events, ...next.events] }
    },
    { denied, events: [] },
  )
}

/** Each tool once, with how often; undefined if none was denied. */
export function deniedTools(denied: Denied): readonly DeniedTool[] | undefined {
  const counts = new Map<string, number>()
  for (const name of Object.values(denied)) counts.set(name, (counts.get(name) ?? 0) + 1)
  if (counts.size === 0) return undefined
  return [...counts].slice(0, maxDeniedTools).map(([name, count]) => ({ name, count }))
}

/** Reads it from a cursor's state. */
export function readDenied(value: unknown): Denied {
  return Object.fromEntries(Object.entries(json(value)).filter((entry): entry is [string, string] => typeof entry[1] === 'string'))
}
