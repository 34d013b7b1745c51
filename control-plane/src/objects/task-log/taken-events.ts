// What a log takes of an attempt's events: each as one line of a stream or as several (older agents told long ones in one), and all
// of them only up to a bound. A full log could not take `task.finished`, and its task would never end.

import type { AttemptEvent, TaskEvent } from '@rdev/shared/domain/event'
import { splitData } from '@rdev/shared/domain/event-parts'
import { maxDataBytes } from '@rdev/shared/domain/limits'

/** Characters of frames. An object of Cloudflare holds 10 GB, and a character has at most 3 bytes. Of 50 MB/s this is 20 s. */
export const maxLogChars = 1024 * 1024 * 1024

export interface Fill {
  /** Characters that were taken of all attempts. */
  readonly chars: number
  /** The log has said that it takes no more of this attempt. */
  readonly full: boolean
}

/** A frame with the length of its text, which its driver knows. Without it the events are measured. */
export interface Sized {
  readonly chars?: number
}

/** `seq` is that of the event before. */
export function takenEvents(
  { events, chars = JSON.stringify(events).length }: { readonly events: readonly AttemptEvent[] } & Sized,
  fill: Fill,
  { task_id, attempt, seq }: { readonly task_id: string; readonly attempt: number; readonly seq: number },
): Fill & { readonly events: readonly TaskEvent[] } {
  if (fill.chars + chars > maxLogChars) {
    const [first] = events
    if (fill.full || first === undefined) return { ...fill, events: [] }
    const message = 'the log of this task is full: it holds no more of what this attempt says, only how the task ends'
    const marker: TaskEvent = { seq: seq + 1, type: 'error', time: first.time, task_id, attempt, data: { code: 'LOG_FULL', message } }
    return { ...fill, full: true, events: [marker] }
  }
  // A small frame holds no long event.
  const lines = chars * 3 <= maxDataBytes ? events : events.flatMap((event) => splitData(event.data).map((data) => ({ ...event, data })))
  return {
    chars: fill.chars + chars,
    full: fill.full,
    events: lines.map(({ type, time, data }, i) => ({ seq: seq + i + 1, type, time, task_id, attempt, data })),
  }
}
