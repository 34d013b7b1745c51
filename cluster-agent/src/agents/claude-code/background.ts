// Work that the process goes on with after its result: commands and subagents in the background. It wakes the model when they end, so the run is
// not over before.

import { isJson, json, objects, text, type Json } from '../json.ts'

/** Past this number they are not told apart; the time limits of the task bound the run in any case. */
const maxTasks = 64

export interface Background {
  readonly tasks: readonly string[]
  /** The process tells the whole set at every change. Before that, the set is made of begins and ends, as in versions that tell only these. */
  readonly whole: boolean
}

export const noBackground: Background = { tasks: [], whole: false }

/** What is only watched, and what runs on another host, keeps no process. */
const counts = (task: Json): boolean => task.ambient !== true && task.off_host !== true && task.skip_transcript !== true

const begun = ({ tasks, whole }: Background, id: string): Background =>
  tasks.includes(id) || tasks.length >= maxTasks ? { tasks, whole } : { tasks: [...tasks, id], whole }
const ended = ({ tasks, whole }: Background, id: string): Background => ({ tasks: tasks.filter((task) => task !== id), whole })

/** The set after a `system` line. */
export function backgroundAfter(background: Background, message: Json): Background {
  if (message.subtype === 'background_tasks_changed') {
    const tasks = objects(message.tasks).filter(counts)
    return { tasks: tasks.slice(0, maxTasks).map((task) => text(task.task_id) ?? ''), whole: true }
  }
  const id = text(message.task_id)
  if (background.whole || id === undefined) return background
  switch (message.subtype) {
    case 'task_started':
      return message.is_backgrounded === false || !counts(message) ? background : begun(background, id)
    case 'task_updated':
      return json(message.patch).is_backgrounded === true ? begun(background, id) : background
    case 'task_notification':
      return ended(background, id)
    default:
      return background
  }
}

/** Reads it from a cursor's state. */
export function readBackground(value: unknown): Background {
  if (!isJson(value) || !Array.isArray(value.tasks)) return noBackground
  return { tasks: value.tasks.filter((task) => typeof task === 'string').slice(0, maxTasks), whole: value.whole === true }
}
