// A task's log in the simulator: the shipped driver on a cell that stores its batches. It checks from which line the log takes events.

import type { TaskEvent } from '@rdev/shared/domain/event'
import type { Batch } from '../../control-plane/src/objects/task-log/batches.ts'
import {
  TaskLogDriver,
  type OnTaskLogStep,
  type TaskLogAttachment,
  type TaskLogPlatform,
  type TaskLogWrite,
} from '../../control-plane/src/objects/task-log/driver.ts'
import type { Line, TaskLogMemory } from '../../control-plane/src/objects/task-log/machine.ts'
import { CellPlatform } from './cell-platform.ts'
import type { ControlPlane } from './control-plane.ts'
import { keyIn } from './keys.ts'
import type { CellKind } from './objects.ts'

export interface StoredLog {
  readonly memory: TaskLogMemory
  readonly batches: readonly Batch[]
}

/** A reader's socket. It outlives a sleep and ends with a reset. */
export interface ReaderSocket {
  text(text: string): void
  closed(code: number): void
  cut(): void
}

/** Log entries as readers get them: `<seq> <type> <json>` each. */
export const eventsIn = (text: string): TaskEvent[] =>
  text.split('\n').map((entry) => JSON.parse(entry.slice(entry.indexOf(' ', entry.indexOf(' ') + 1) + 1)) as TaskEvent)

class Platform extends CellPlatform<StoredLog, TaskLogMemory | undefined, TaskLogWrite, TaskLogAttachment> implements TaskLogPlatform {
  load(): TaskLogMemory | undefined {
    return this.cell.stored?.memory
  }
  commit({ batches, memory, alarmAt }: TaskLogWrite): void {
    this.write(() => {
      const { cell } = this
      if (memory !== null) cell.stored = { memory, batches: [...(cell.stored?.batches ?? []), ...batches] }
      if (alarmAt !== undefined) cell.setAlarm(alarmAt)
    })
  }
  rows(after: number): Iterable<Batch> {
    return (this.cell.stored?.batches ?? []).filter(({ last }) => last > after)
  }
}

type Target = Pick<Line, 'attempt' | 'epoch' | 'expires_at' | 'key_id'>
const targetOf = (target: string): Target => {
  const [, , attempt, epoch, expires] = target.split(' ')
  return { attempt: Number(attempt), epoch: Number(epoch), expires_at: Number(expires), key_id: keyIn(target) }
}

export const taskLogKind = (plane: ControlPlane): CellKind<StoredLog> => ({
  wake: (cell, life) => {
    const platform = new Platform(cell, life)
    const { tasks, dispatch, keys, hubs, ...rest } = plane.depsOf(life)
    const { rowEnded } = platform.outside({ rowEnded: plane.rowEnded(life) })
    const deps = {
      ...rest,
      tasks: platform.outside(tasks),
      dispatch: platform.outside(dispatch),
      keys: platform.outside(keys),
      hubs: platform.outside(hubs),
      rowEnded,
      log: plane.logOf(cell.name, life),
    }
    const onStep: OnTaskLogStep = (...step) => {
      if (!life.dead) cell.kernel.say(cell.name, () => describe(...step))
    }
    return { driver: new TaskLogDriver(platform, deps, onStep), platform }
  },

  connected: (cell, driver, { id, target }) => {
    const line = { connection: id, ...targetOf(target), judged_at: plane.now() }
    ;(driver as TaskLogDriver).connectLine(line)
    const { memory } = cell.stored ?? {}
    if (memory?.attempt === line.attempt) plane.opened(`${cell.name}.${line.attempt}`, memory.epoch)
  },

  message: (cell, driver, { id, target }, text) => {
    const before = cell.stored
    const { attempt, epoch } = targetOf(target)
    const newest = plane.newestEpoch(`${cell.name}.${attempt}`)
    driver.message(id, text)
    const more = (now: StoredLog | undefined) => `${now?.memory.received} ${now?.memory.result !== null}`
    if (before !== undefined && more(cell.stored) !== more(before) && plane.isOverdue(target))
      plane.onRevoked(`${cell.name}.${attempt}`, `took what came on a line of ${keyIn(target)}`)
    const grown = (cell.stored?.batches.length ?? 0) > (before?.batches.length ?? 0)
    if (!grown || before === undefined) return
    const here = before.memory.attempt
    if (attempt !== here) plane.onStale(cell.name, attempt, `when it was at attempt ${here}`)
    else if (epoch < newest) plane.onStale(cell.name, attempt, `of epoch ${epoch}, after it had opened one of epoch ${newest}`)
  },

  checked: (text) => plane.checked('taskDown', text),
})

const describe: (...step: Parameters<OnTaskLogStep>) => string = (input, effects) => {
  const rest = (value: object, ...keys: string[]) =>
    Object.entries(value)
      .filter(([key]) => keys.includes(key))
      .map(([key, what]) => ` ${key}=${typeof what === 'object' ? JSON.stringify(what) : String(what)}`)
      .join('')
  const told = effects.map((effect) => {
    switch (effect.type) {
      case 'append':
        return `append ${effect.events.map((event) => `${event.seq}:${event.type}`).join(',')}`
      case 'send':
        return `send ${effect.frame.type}${rest(effect.frame, 'received', 'result', 'pending')} on ${effect.connection}`
      case 'close':
        return `close ${effect.connection} ${effect.code}`
      case 'finish':
        return `finish attempt ${effect.attempt} ${effect.outcome.status}`
      default:
        return effect.type
    }
  })
  let what = ''
  if (input.type === 'frame') {
    const { frame } = input
    what = ` ${frame.type}${rest(frame, 'after')}${frame.type === 'events' ? ` ${frame.events.length} events` : ''} on ${input.connection}`
  } else if (input.type === 'sync' || input.type === 'loaded' || input.type === 'finish_answered') {
    what = input.task === undefined ? ' nothing' : ` row ${input.task.status} attempt ${input.task.attempt}`
  } else if (input.type === 'connected') what = ` ${input.line.connection} attempt ${input.line.attempt} epoch ${input.line.epoch}`
  else what = rest(input, 'connection', 'attempt', 'grace_s')
  return `${input.type}${what}${told.length > 0 ? ` → ${told.join('; ')}` : ''}`
}
