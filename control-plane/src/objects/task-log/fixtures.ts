// What tests of the task log's machine start from.

import { outcome, type Task, type TaskOutcome } from '@rdev/shared/domain/task'
import type { AttemptEvent } from '@rdev/shared/domain/event'
import type { TaskUp } from '@rdev/shared/wire/task-frames'
import { aTask } from '../machine-fixtures.ts'
import type { Sized } from './taken-events.ts'
import { initialTaskLog, stepTaskLog, type TaskLogEffect, type TaskLogInput, type TaskLogState } from './machine.ts'

export const cursor = (stdout: number) => ({ stdout, stderr: 0 })
export const output = (text: string): AttemptEvent => ({
  type: 'output',
  time: '2026-11-23T08:00:00.000Z',
  data: { stream: 'stdout', text },
})
export const success = outcome('succeeded', { exit_code: 0, result: 'done', duration_ms: 1500 })

/** A log to step; `take` answers the effects of one kind since the last call. */
export function setup(task: Task = aTask()) {
  let state: TaskLogState = initialTaskLog()
  let now = 1_000_000
  let effects: TaskLogEffect[] = []
  const log: { seq: number; type: string; attempt: number; data: unknown }[] = []
  /** `random` is 0 unless a test gives it. */
  const step = (input: TaskLogInput, random = 0) => {
    const done = stepTaskLog(state, input, { now, random })
    state = done.state
    effects.push(...done.effects)
    for (const effect of done.effects) if (effect.type === 'append') log.push(...effect.events)
    return done.effects
  }
  const take = <Type extends TaskLogEffect['type']>(type: Type) => {
    const found = effects.filter((effect): effect is Extract<TaskLogEffect, { type: Type }> => effect.type === type)
    effects = effects.filter((effect) => effect.type !== type)
    return found
  }
  return {
    step,
    take,
    log,
    types: () => log.map(({ type }) => type),
    state: () => state,
    durable: () => state.durable,
    forget: () => void (effects = []),
    pass: (ms: number) => void (now += ms),
    row: (change: Partial<Task>): Task => ({ ...task, ...change }),
    sync: (change: Partial<Task> = {}) => step({ type: 'sync', task: { ...task, ...change } }),
    connect: (connection: string, attempt = 1, epoch = 1) => step({ type: 'connected', line: { connection, attempt, epoch } }),
    frame: (connection: string, frame: TaskUp & Sized) => step({ type: 'frame', connection, frame }),
    events: (connection: string, after: number, ...texts: string[]) =>
      step({
        type: 'frame',
        connection,
        frame: { type: 'events', after, cursor: cursor(after + texts.length), events: texts.map(output) },
      }),
    result: (connection: string, after: number, end: TaskOutcome = success) =>
      step({ type: 'frame', connection, frame: { type: 'result', after, outcome: end } }),
    sent: () => take('send').map(({ connection, frame }) => [connection, frame] as const),
    closed: () => take('close').map(({ connection, code }) => [connection, code] as const),
  }
}
export const leased = { status: 'leased', attempt: 1, pod: 'pod-1' } as const
/** A log with a line open for attempt 1. */
export function running() {
  const log = setup()
  log.sync(leased)
  log.connect('a')
  log.forget()
  return log
}
