import { cancel, isTerminal, outcome } from '@rdev/shared/domain/task'
import { describe, expect, it } from 'vitest'
import { anActor } from '../../testing/actor.ts'
import type { LiveTask } from '../../ports/dispatch-store.ts'
import { type Contract, demoSlots, refOf, slots } from './setup.ts'

export function raceContract(setup: () => Contract): void {
  const times = <Result>(count: number, make: (i: number) => Promise<Result>) =>
    Promise.all(Array.from({ length: count }, (_, i) => make(i)))
  /** A claim makes older ones that have not run void, so a last claim takes what they left. */
  const withLast = async (many: Promise<(readonly LiveTask[])[]>, last: () => Promise<readonly LiveTask[]>) => [
    ...(await many).flat(),
    ...(await last()),
  ]
  const free = [...demoSlots(3), ...slots('other-pod', 'other', 3), ...slots('worker-1', null, 3)]

  async function fill({ add, converse }: Contract) {
    for (let i = 0; i < 12; i++) {
      const spec = { project_id: i % 3 ? 'demo' : 'other', target: i % 4 ? 'project' : 'pool' } as const
      if (i % 5) await add(spec)
      else {
        const { session_id } = await converse(spec)
        await add({ ...spec, kind: 'agent', provider: 'claude-code', prompt: 'x', session_id })
      }
    }
  }

  describe('races', () => {
    it('50 claims with one id lease once', async () => {
      const t = setup()
      await fill(t)
      const claimId = t.id('claim')
      const answers = await times(50, () => t.claim(free, { claimId }))
      expect(answers[0]!.length).toBeGreaterThan(4)
      for (const answer of answers) expect(answer).toEqual(answers[0])
      expect(await t.live()).toEqual(answers[0])
    })

    it('50 claims with ids of their own never lease a task twice, nor more than may be live', async () => {
      const t = setup()
      await fill(t)
      const answers = await withLast(
        times(50, () => t.claim(free)),
        () => t.claim(free),
      )
      const live = await t.live()
      expect(answers.map(({ task }) => task.id).sort()).toEqual(live.map(({ task }) => task.id))
      for (const { task } of answers) expect(task.attempt).toBe(1)
      const of = (project: string) => live.filter(({ task }) => task.spec.project_id === project).length
      expect([of('demo'), of('other')]).toEqual([4, 4])
      const sessions = live.flatMap(({ task }) => task.spec.session_id ?? [])
      expect(new Set(sessions).size).toBe(sessions.length)
    })

    it('claims for different pods at once never have more of a project live than it may run', async () => {
      const t = setup()
      for (let round = 0; round < 10; round++) {
        for (let i = 0; i < 8; i++) await t.add({ target: i % 2 ? 'pool' : 'project' })
        const free = [demoSlots(4), slots('worker-1', null, 4), slots('worker-2', null, 4), demoSlots(2)]
        const answers = await withLast(
          times(8, (i) => t.claim(free[i % free.length]!)),
          () => t.claim(free.flat()),
        )
        const live = await t.live()
        expect(live).toHaveLength(4)
        expect(answers.map(({ task }) => task.id).sort()).toEqual(live.map(({ task }) => task.id))
        for (const { task } of live) await t.end(task)
        for (const { task } of await t.claim([...demoSlots(8), ...slots('worker-1', null, 8)])) await t.end(task)
      }
    })

    it('claims for different pods at once never have two live tasks of a workspace', async () => {
      const t = setup()
      await t.projects.change('demo', anActor(), { max_running: 100 })
      for (let round = 0; round < 8; round++) {
        for (let i = 0; i < 12; i++) await t.add({ target: i % 2 ? 'pool' : 'project', workspace: `copy-${i % 3}`, priority: i % 4 })
        const free = [demoSlots(4), slots('worker-1', null, 4), slots('worker-2', null, 4), demoSlots(2)]
        const answers = await withLast(
          times(8, (i) => t.claim(free[i % free.length]!)),
          () => t.claim(free.flat()),
        )
        const live = await t.live()
        expect(answers.map(({ task }) => task.id).sort()).toEqual(live.map(({ task }) => task.id))
        const held = live.map(({ task }) => task.spec.workspace)
        expect(new Set(held).size).toBe(held.length)
        expect(held.length).toBeGreaterThan(0)
        for (const { task } of live) await t.end(task)
      }
    })

    it('50 inserts of one task at once make one', async () => {
      const t = setup()
      const task = t.fresh()
      const answers = (await times(50, () => t.tasks.insert([task]))).flat()
      expect(answers.filter((one) => 'task' in one && !one.repeated)).toHaveLength(1)
      expect(answers.every((one) => 'task' in one && one.task.id === task.id)).toBe(true)
    })

    it('a project stays within its limit while its tasks come and end', async () => {
      const t = setup()
      for (let i = 0; i < 20; i++) await t.add()
      let most = 0
      let done = 0
      await times(5, async () => {
        for (let rounds = 0; rounds < 40 && done < 20; rounds++) {
          const live = await t.claim(demoSlots(4))
          most = Math.max(most, (await t.live()).length)
          for (const { task } of live) {
            expect(task.attempt).toBe(1)
            await t.end(task)
            done++
          }
        }
      })
      expect(done).toBe(20)
      expect(most).toBeLessThanOrEqual(4)
    })

    it('a finish and a cancel at once: the task ends once, and both calls answer the same', async () => {
      const t = setup()
      for (let i = 0; i < 25; i++) {
        await t.add()
        const task = await t.run()
        const [ended, cancelled] = await Promise.all([
          t.dispatch.finish(refOf(task), outcome('succeeded', { exit_code: 0 }), null),
          t.tasks.change(task.id, anActor(), (now) => cancel(now, Date.now())),
        ])
        const row = await t.tasks.get(task.id, null)
        expect(row).toMatchObject({ status: 'succeeded', exit_code: 0, attempt: 1 })
        expect(ended).toMatchObject({ status: 'succeeded' })
        // Either the cancel request came first and is recorded, or it came after the end and changed nothing.
        if (isTerminal(cancelled!.before.status)) expect(cancelled!.after).toEqual(row)
        else expect(row?.cancel_requested_at).toBe(cancelled!.after.cancel_requested_at)
      }
    })

    it('a claim and a cancel at once: leased with the cancel request recorded, or cancelled', async () => {
      const t = setup()
      for (let i = 0; i < 25; i++) {
        const task = await t.add()
        const [live] = await Promise.all([t.claim(demoSlots()), t.tasks.change(task.id, anActor(), (now) => cancel(now, 1_000))])
        const row = (await t.tasks.get(task.id, null))!
        expect(row.cancel_requested_at).toBe(1_000)
        if (live.length === 0) expect(row).toMatchObject({ status: 'cancelled', attempt: 0 })
        else await t.end(row, 'cancelled')
      }
    })

    it('two ends of one attempt: one is written, both calls answer it', async () => {
      const t = setup()
      await t.add()
      const task = await t.run()
      const answers = await times(10, (i) =>
        t.dispatch.finish(refOf(task), outcome(i % 2 ? 'failed' : 'succeeded', { exit_code: i }), null),
      )
      for (const answer of answers) expect(answer).toEqual(answers[0])
      expect(await t.tasks.get(task.id, null)).toEqual(answers[0])
    })

    it('many changes of one task are all applied', async () => {
      const t = setup()
      await t.add()
      const task = await t.run()
      await times(8, (i) =>
        t.tasks.change(task.id, anActor(), (now) => ({ ...now, cancel_requested_at: (now.cancel_requested_at ?? 0) + i + 1 })),
      )
      expect((await t.tasks.get(task.id, null))?.cancel_requested_at).toBe(36)
    })
  })
}
