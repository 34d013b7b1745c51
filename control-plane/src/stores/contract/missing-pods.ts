import { describe, expect, it } from 'vitest'
import { anActor } from '../../testing/actor.ts'
import { type Contract, demoSlots, slots } from './setup.ts'

/** Tasks that are bound by their conversation to a missing pod. */
export function missingPodsContract(setup: () => Contract): void {
  const agent = { kind: 'agent', provider: 'claude-code', prompt: 'more' } as const

  /** A session whose pod this is, and a task that continues it. */
  async function boundTo(t: Contract, pod: string, project_id = 'demo') {
    const { session_id } = await t.converse({ project_id, target: 'pool' })
    await t.end(await t.run(slots(pod, null)), 'succeeded', { provider_session_id: 'told' })
    return { session_id, next: (spec: Parameters<Contract['add']>[0] = {}) => t.add({ ...agent, project_id, session_id, ...spec }) }
  }

  describe('tasks bound to a missing pod', () => {
    it('are found by the pod that they are bound to, where that is not among those that are there', async () => {
      const t = setup()
      const [one, two, three] = [await boundTo(t, 'w-1'), await boundTo(t, 'w-2'), await boundTo(t, 'w-3')]
      expect(await t.dispatch.missingPods('home', [])).toEqual([])
      await t.add()
      await t.converse()
      await one.next()
      await two.next({ workspace: 'main' })
      await three.next({ run_after: Date.now() + 60_000 })
      expect(await t.dispatch.missingPods('home', [])).toEqual(['w-1', 'w-2'])
      expect(await t.dispatch.missingPods('home', ['w-1', 'demo-pod'])).toEqual(['w-2'])
      expect(await t.dispatch.missingPods('home', ['w-2', 'w-1'])).toEqual([])
      expect(await t.dispatch.missingPods('away', [])).toEqual([])
    })

    it('fail with the tasks behind them, once, and nothing else does', async () => {
      const t = setup()
      const [gone, here] = [await boundTo(t, 'w-1'), await boundTo(t, 'w-2')]
      const other = await t.add({ workspace: 'main', priority: 1 })
      const lost = [await gone.next(), await gone.next(), await gone.next({ workspace: 'main', priority: 2 })]
      const later = await gone.next({ run_after: Date.now() + 60_000 })
      const kept = [await here.next(), other, await t.add(), (await t.converse()).task, later]
      expect(await t.dispatch.failMissingPods('home', [])).toEqual([])
      expect(await t.dispatch.failMissingPods('away', ['w-1'])).toEqual([])
      const failed = await t.dispatch.failMissingPods('home', ['w-1', 'w-9'])
      expect(failed.map(({ id }) => id).sort()).toEqual(lost.map(({ id }) => id).sort())
      for (const task of failed) {
        const end = { status: 'failed', error_code: 'POD_UNAVAILABLE', error: 'the pod that holds this conversation is gone', attempt: 0 }
        expect(task).toMatchObject({ ...end, finished_at: expect.any(Number) })
        expect(await t.tasks.get(task.id, null)).toEqual(task)
      }
      for (const task of kept) expect(await t.tasks.get(task.id, null)).toEqual(task)
      expect(await t.dispatch.failMissingPods('home', ['w-1', 'w-9'])).toEqual([])
    })

    it('behind one head are all found in the end, though they wait for different pods', async () => {
      const t = setup()
      const workspace = 'main'
      const [one, two] = [await boundTo(t, 'w-1'), await boundTo(t, 'w-2')]
      const bound = [await one.next({ workspace }), await two.next({ workspace }), await one.next({ workspace })]
      const free = await t.add({ workspace })
      const failed: string[] = []
      for (let i = 0; i < 3; i++) {
        const pods = await t.dispatch.missingPods('home', ['demo-pod'])
        failed.push(...(await t.dispatch.failMissingPods('home', pods)).map(({ id }) => id))
      }
      expect(failed.sort()).toEqual(bound.map(({ id }) => id).sort())
      expect((await t.claim(demoSlots(4))).map(({ task }) => task.id)).toEqual([free.id])
    })

    it('of a project that is paused wait', async () => {
      const t = setup()
      const { next } = await boundTo(t, 'w-1')
      await next()
      await t.projects.change('demo', anActor(), { paused: true })
      expect(await t.dispatch.missingPods('home', [])).toEqual([])
      expect(await t.dispatch.failMissingPods('home', ['w-1'])).toEqual([])
      await t.projects.change('demo', anActor(), { paused: false })
      expect(await t.dispatch.missingPods('home', [])).toEqual(['w-1'])
    })

    it('that are live or ended are left alone', async () => {
      const t = setup()
      const { next } = await boundTo(t, 'w-1')
      const ended = await t.end(await next().then(() => t.run(slots('w-1', null))))
      await next()
      const live = await t.run(slots('w-1', null))
      expect(await t.dispatch.missingPods('home', [])).toEqual([])
      expect(await t.dispatch.failMissingPods('home', ['w-1'])).toEqual([])
      expect(await t.tasks.get(ended.id, null)).toEqual(ended)
      expect((await t.tasks.get(live.id, null))?.status).toBe('running')
    })

    it('end at most 500 at once', async () => {
      const t = setup()
      const { session_id } = await boundTo(t, 'w-1')
      await t.addMany(600, { ...agent, session_id })
      expect(await t.dispatch.failMissingPods('home', ['w-1'])).toHaveLength(500)
      expect(await t.dispatch.failMissingPods('home', ['w-1'])).toHaveLength(100)
      expect(await t.dispatch.nextDue('home')).toEqual({ queued: false, next_at: null })
    })

    it('are shown in the queue with their pod', async () => {
      const t = setup()
      const { next } = await boundTo(t, 'w-1')
      const task = await next()
      expect((await t.tasks.queue({ projects: null }, 1))[0]?.head).toMatchObject({ task_id: task.id, reason: 'due', session_pod: 'w-1' })
    })
  })
}
