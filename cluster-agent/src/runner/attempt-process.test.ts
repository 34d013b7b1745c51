import { expect, test } from 'vitest'
import type { AttemptDirectories, StartOutcome, Timers } from '../ports.ts'
import { AttemptProcess, RejectedStart, startBoundMs } from './attempt-process.ts'
import type { AttemptInput } from './attempt-run-machine.ts'

const spec = { script: 'exec true', stdin: '', timeout_s: 60 }

/** A pod whose answers the test gives; every call of `start` takes 30 s. */
function setup(pod: { start(tries: number): Promise<StartOutcome>; touch?(): Promise<void>; refuse?(): Promise<'refused' | 'there'> }) {
  let now = 0
  let tries = 0
  let hellos = 0
  const steps: AttemptInput[] = []
  const refused: number[] = []
  const timers: Timers = {
    after: (ms, run) => {
      queueMicrotask(() => {
        now += ms
        run()
      })
      return () => {}
    },
    now: () => now,
    wall: () => now,
    random: () => 0.5,
  }
  const directories = {
    start: async () => {
      now += 30_000
      if (tries > 1_000) throw new Error('it was asked too often')
      return pod.start(++tries)
    },
    touch: pod.touch ?? (async () => {}),
    refuse: async () => {
      refused.push(now)
      return pod.refuse?.() ?? 'refused'
    },
  } satisfies Partial<AttemptDirectories> as unknown as AttemptDirectories
  const at = { name: 'task_01.1', ref: { task_id: 'task_01', attempt: 1 }, pod: 'pod' }
  const process = new AttemptProcess(
    { directories, hub: { hello: () => void hellos++ }, timers, log: () => {} },
    at,
    (input) => void steps.push(input),
  )
  return { process, steps, refused, hellos: () => hellos, tries: () => tries, now: () => now }
}

const fails = async (): Promise<StartOutcome> => {
  throw new Error('cannot keep a supervisor ready')
}

test('a pod that answers but starts nothing is asked to refuse the attempt, and the start is rejected', async () => {
  const { process, steps, refused } = setup({ start: fails })
  await expect(process.start(spec)).rejects.toThrow(RejectedStart)
  expect(refused).toHaveLength(1)
  expect(refused[0]).toBeGreaterThanOrEqual(startBoundMs)
  expect(steps).toEqual([{ type: 'rejected', reason: 'start_failed', detail: expect.stringContaining('cannot keep a supervisor ready') }])
})

test('an attempt that was started by one of the tries goes on', async () => {
  const { process, steps } = setup({ start: fails, refuse: async () => 'there' })
  await process.start(spec)
  expect(steps).toEqual([{ type: 'started' }])
})

test('a pod that cannot be asked is tried again, and has the whole time once it answers', async () => {
  let away = true
  const { process, steps, refused } = setup({
    start: async (tries) => {
      if (tries === 20) away = false
      if (tries < 23) return fails()
      return { outcome: 'started' }
    },
    touch: async () => {
      if (away) throw new Error('no shell')
    },
  })
  await process.start(spec)
  expect(refused).toEqual([])
  expect(steps).toEqual([{ type: 'started' }])
})

test('a pod that has another home than before is listed anew', async () => {
  const { process, steps, hellos } = setup({ start: async () => ({ outcome: 'failed', detail: 'another home', moved: true }) })
  await expect(process.start(spec)).rejects.toThrow(RejectedStart)
  expect(steps).toEqual([{ type: 'rejected', reason: 'start_failed', detail: 'another home' }])
  expect(hellos()).toBe(1)
})

test('a pod that cannot be asked to refuse is tried again', async () => {
  let asked = 0
  const { process, steps, tries } = setup({
    start: async (number) => (number < 10 ? fails() : { outcome: 'started' }),
    refuse: async () => {
      asked++
      throw new Error('no shell')
    },
  })
  await process.start(spec)
  expect(asked).toBeGreaterThan(1)
  expect(tries()).toBe(10)
  expect(steps).toEqual([{ type: 'started' }])
})
