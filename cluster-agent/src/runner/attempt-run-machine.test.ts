import { expect, test } from 'vitest'
import type { ExitRecord } from '@rdev/shared/domain/attempt'
import { cancelGraceS, giveUpMs } from '@rdev/shared/domain/limits'
import type { AttemptEffect, AttemptInput, AttemptState } from './attempt-run-machine.ts'
import { graceAfterResultMs, newAttempt, settleAfterStopMs, settleMs, shutdownGraceS, stepAttempt } from './attempt-run-machine.ts'

const record: ExitRecord = { exit_code: 0, stdout_bytes: 0, stderr_bytes: 0, started_at: 0, ended_at: 1, reason: 'exited' }
const result = { status: 'succeeded', result: 'x' } as const
const exited: AttemptInput = { type: 'exited', record }
const executed = (reading = 0): AttemptInput => ({ type: 'executed', reading, result })

function setup(adopted = false) {
  let state: AttemptState = newAttempt(adopted)
  const feed = (...inputs: AttemptInput[]) => {
    let effects: readonly AttemptEffect[] = []
    for (const input of inputs) ({ state, effects } = stepAttempt(state, input, { now: 0, random: 0 }))
    return effects
  }
  return {
    feed,
    types: (...inputs: AttemptInput[]) => feed(...inputs).map((effect) => effect.type),
    get state() {
      return state
    },
  }
}

test('started, read, exited, reported, acknowledged', () => {
  const it = setup()
  expect(it.types({ type: 'started' })).toEqual(['accept', 'begun'])
  expect(it.feed(executed())).toEqual([{ type: 'timer', timer: 'grace', inMs: graceAfterResultMs }])
  expect(it.types(exited)).toEqual(['let_go', 'report'])
  expect(it.types({ type: 'acked' })).toEqual(['let_go', 'finished', 'remove', 'forget'])
  expect(it.state.phase).toBe('done')
})

test('exit and result in the other order', () => {
  const it = setup()
  it.feed({ type: 'started' })
  expect(it.feed(exited)).toEqual([{ type: 'timer', timer: 'settle', inMs: settleMs }])
  expect(it.types(executed())).toEqual(['let_go', 'report'])
})

test('inputs that are repeated or late change nothing', () => {
  const it = setup()
  it.feed({ type: 'started' }, executed(), exited)
  const before = it.state
  for (const input of [
    { type: 'started' },
    { type: 'rejected', reason: 'floor', detail: undefined },
    { type: 'cancel', graceS: 1 },
    { type: 'idle' },
    { type: 'shutdown' },
    executed(),
    exited,
    { type: 'emptied' },
    { type: 'timer', timer: 'grace' },
    { type: 'timer', timer: 'settle' },
  ] as const) {
    expect(it.feed(input)).toEqual([])
    expect(it.state).toEqual(before)
  }
  it.feed({ type: 'acked' })
  for (const input of [{ type: 'acked' }, { type: 'discard' }, { type: 'restart' }, { type: 'pod_gone' }] as const) {
    expect(it.feed(input)).toEqual([])
  }
})

test('a rejected start is told and forgotten, also if a cancel came meanwhile', () => {
  const it = setup()
  expect(it.feed({ type: 'cancel', graceS: 1 })).toEqual([])
  expect(it.feed({ type: 'rejected', reason: 'floor', detail: 'd' })).toEqual([
    { type: 'let_go' },
    { type: 'reject', reason: 'floor', detail: 'd' },
    { type: 'forget' },
  ])
})

test('a cancel during the start takes effect as soon as it has started; the first request counts', () => {
  const it = setup()
  it.feed({ type: 'cancel', graceS: 3 }, { type: 'shutdown' })
  expect(it.feed({ type: 'started' })).toEqual([
    { type: 'accept' },
    { type: 'begun' },
    { type: 'interrupt' },
    { type: 'stop_tree', graceS: 3, reason: 'cancelled' },
  ])
})

test.each([
  [{ type: 'cancel', graceS: 2 }, 'cancelled', 'cancelled', 2],
  [{ type: 'idle' }, 'idle', 'timeout', cancelGraceS],
  [{ type: 'shutdown' }, 'shutdown', 'stopped', shutdownGraceS],
] as const)('%o ends the tree, then waits for both the record and the code agent', (input, cause, reason, graceS) => {
  const it = setup()
  it.feed({ type: 'started' })
  expect(it.feed(input)).toEqual([{ type: 'interrupt' }, { type: 'stop_tree', graceS, reason }])
  expect(it.feed({ type: 'cancel', graceS: 0 })).toEqual([])
  expect(it.state).toMatchObject({ phase: 'ending', cause })
  expect(it.feed({ type: 'emptied' })).toEqual([])
  expect(it.feed(exited)).toEqual([{ type: 'timer', timer: 'settle', inMs: settleAfterStopMs }])
  expect(it.types(executed())).toEqual(['let_go', 'report'])
})

test('a cancel after the process has ended by itself is too late', () => {
  const it = setup()
  it.feed({ type: 'started' }, exited)
  expect(it.feed({ type: 'cancel', graceS: 1 })).toEqual([])
  expect(it.feed({ type: 'idle' })).toEqual([])
  expect(it.state.cause).toBeUndefined()
})

test('a process that does not exit after its result is stopped; one that exited is not', () => {
  const it = setup()
  it.feed({ type: 'started' }, executed())
  expect(it.feed({ type: 'timer', timer: 'grace' })).toEqual([{ type: 'stop_tree', graceS: cancelGraceS, reason: 'stopped' }])
  expect(it.types(exited)).toEqual(['let_go', 'report'])

  const running = setup()
  running.feed({ type: 'started' })
  expect(running.feed({ type: 'timer', timer: 'grace' })).toEqual([])
})

test('a code agent that does not answer after the end of its process is given up', () => {
  const it = setup()
  it.feed({ type: 'started' })
  expect(it.feed({ type: 'timer', timer: 'settle' })).toEqual([])
  it.feed(exited)
  it.feed({ type: 'timer', timer: 'settle' }, { type: 'reached' })
  expect(it.types({ type: 'timer', timer: 'settle' })).toEqual(['let_go', 'report'])
  expect(it.state.result).toBe('none')
})

test('a code agent that threw an error counts as answered', () => {
  const it = setup()
  it.feed({ type: 'started' }, exited)
  expect(it.types({ type: 'executed', reading: 0, result: undefined })).toEqual(['let_go', 'report'])
  expect(it.state.result).toBe('none')
})

test('an adopted attempt reads when the log has told its position', () => {
  const it = setup(true)
  expect(it.state.phase).toBe('running')
  expect(it.feed({ type: 'restart' })).toEqual([{ type: 'let_go' }, { type: 'read', reading: 1 }])
  it.feed(exited)
  expect(it.types(executed(1))).toEqual(['let_go', 'report'])
})

test('after a restart the earlier reading, its result and its report do not count', () => {
  const it = setup()
  it.feed({ type: 'started' }, executed(), exited)
  expect(it.state.phase).toBe('reporting')
  expect(it.feed({ type: 'restart' })).toEqual([{ type: 'let_go' }, { type: 'read', reading: 1 }])
  expect(it.feed(executed(0))).toEqual([])
  expect(it.types(executed(1))).toEqual(['let_go', 'report'])
})

test('a restart during a cancel reads on, with a code agent that is interrupted', () => {
  const it = setup()
  it.feed({ type: 'started' }, { type: 'cancel', graceS: 1 })
  expect(it.types({ type: 'restart' })).toEqual(['let_go', 'read', 'interrupt'])
  expect(it.state.phase).toBe('ending')
})

test('a start that finds the process of an earlier agent reads from the log, not from the beginning', () => {
  const it = setup()
  expect(it.feed({ type: 'restart' })).toEqual([])
  expect(it.types({ type: 'started' })).toEqual(['accept', 'let_go', 'read'])
})

test('a discarded attempt is stopped, and only then told as finished', () => {
  const it = setup()
  it.feed({ type: 'started' })
  expect(it.feed({ type: 'discard' })).toEqual([{ type: 'let_go' }, { type: 'stop_tree', graceS: cancelGraceS, reason: 'stopped' }])
  expect(it.feed(executed())).toEqual([])
  expect(it.feed(exited)).toEqual([])
  expect(it.feed({ type: 'restart' })).toEqual([])
  expect(it.types({ type: 'emptied' })).toEqual(['let_go', 'finished', 'remove', 'forget'])
})

test.each([{ type: 'discard' }, { type: 'acked' }] as const)('%o during the start waits for its answer, whatever it is', (input) => {
  const rejected = setup()
  expect(rejected.feed(input)).toEqual([])
  expect(rejected.types({ type: 'rejected', reason: 'floor', detail: undefined })).toEqual(['let_go', 'reject', 'forget'])

  const started = setup()
  started.feed(input)
  expect(started.types({ type: 'started' })).toEqual(['accept', 'begun', 'let_go', 'stop_tree'])
})

test('a pod that is gone: lost if it had started, rejected if not, nothing to remove', () => {
  const running = setup()
  running.feed({ type: 'started' })
  expect(running.types({ type: 'pod_gone' })).toEqual(['let_go', 'report'])
  expect(running.state.record).toBeUndefined()
  expect(running.types({ type: 'acked' })).toEqual(['let_go', 'finished', 'forget'])

  const starting = setup()
  expect(starting.feed({ type: 'pod_gone' })).toContainEqual({ type: 'reject', reason: 'no_such_pod', detail: undefined })

  const reporting = setup()
  reporting.feed({ type: 'started' }, executed(), exited)
  expect(reporting.feed({ type: 'pod_gone' })).toEqual([])
  expect(reporting.types({ type: 'acked' })).toEqual(['let_go', 'finished', 'forget'])

  const unwanted = setup()
  unwanted.feed({ type: 'started' }, { type: 'discard' })
  expect(unwanted.types({ type: 'pod_gone' })).toEqual(['let_go', 'finished', 'forget'])
})

test('a result that the log already holds ends an adopted attempt at once', () => {
  const it = setup(true)
  expect(it.types({ type: 'acked' })).toEqual(['let_go', 'finished', 'remove', 'forget'])
})

// Found by the simulator: the log was reached only after the pod was gone, and the attempt waited for ever for its end.
test('a log that is reached only after the pod is gone gets the report', () => {
  const it = setup(true)
  expect(it.types({ type: 'pod_gone' })).toEqual(['let_go', 'report'])
  expect(it.types({ type: 'restart' })).toEqual(['report'])
  expect(it.state.phase).toBe('reporting')
})

// Found by the simulator: another agent had finished and removed the attempt, and it stayed in this agent for ever.
test('an attempt whose pod has no directory of it any more is forgotten, and the hub is told nothing', () => {
  const it = setup()
  it.feed({ type: 'started' }, executed(), exited)
  expect(it.types({ type: 'missing' })).toEqual(['let_go', 'forget'])
  expect(it.state.phase).toBe('done')
})

// Found by the simulator: a process that had ended well was reported as one without a result, because its node was away for a minute.
test('a code agent that waits for output of a pod that cannot be reached is not given up', () => {
  const it = setup()
  it.feed({ type: 'started' })
  it.feed(exited)
  expect(it.types({ type: 'timer', timer: 'settle' })).toEqual(['reach'])
  expect(it.feed({ type: 'reached' })).toEqual([{ type: 'timer', timer: 'settle', inMs: settleMs }])
  expect(it.feed({ type: 'reached' })).toEqual([])
  expect(it.types({ type: 'timer', timer: 'settle' })).toEqual(['let_go', 'report'])
})

const ceiling: AttemptInput = { type: 'timer', timer: 'ceiling' }
const giveUp: AttemptInput = { type: 'timer', timer: 'give_up' }

test('an attempt that its supervisor does not end at its time limit is ended by this agent', () => {
  const it = setup()
  it.feed({ type: 'started' })
  expect(it.feed(ceiling)).toEqual([
    { type: 'interrupt' },
    { type: 'stop_tree', graceS: cancelGraceS, reason: 'timeout' },
    { type: 'timer', timer: 'give_up', inMs: giveUpMs },
  ])
  expect(it.state).toMatchObject({ phase: 'ending', cause: 'overdue' })
  it.feed(exited)
  expect(it.types(executed())).toEqual(['let_go', 'report'])
  expect(it.feed(giveUp)).toEqual([])
})

test.each([
  ['a start that the pod does not answer', [] as AttemptInput[]],
  ['a process that runs', [{ type: 'started' }] as AttemptInput[]],
  ['a cancel that the pod does not answer', [{ type: 'started' }, { type: 'cancel', graceS: 1 }] as AttemptInput[]],
  ['output that the pod still has', [{ type: 'started' }, exited] as AttemptInput[]],
])('a pod that tells nothing until long after the time limit is given up: %s', (_what, before) => {
  const it = setup()
  it.feed(...before)
  expect(it.feed(ceiling).at(-1)).toEqual({ type: 'timer', timer: 'give_up', inMs: giveUpMs })
  expect(it.types(giveUp)).toEqual(['stop_asking', 'let_go', 'report'])
  // What it tells later changes nothing.
  expect(it.feed({ type: 'started' }, exited, executed())).toEqual([])
  expect(it.types({ type: 'restart' })).toEqual(['report'])
  expect(it.types({ type: 'acked' })).toEqual(['let_go', 'finished', 'remove', 'forget'])
})
