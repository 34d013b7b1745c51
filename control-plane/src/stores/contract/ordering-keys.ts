import { outcome } from '@rdev/shared/domain/task'
import { describe, expect, it } from 'vitest'
import { type Contract, demoSlots, refOf, slots } from './setup.ts'

/** Tasks of the same workspace or session wait for each other. */
export function orderingKeyContract(setup: () => Contract): void {
  const ids = (live: readonly { task: { id: string } }[]) => live.map(({ task }) => task.id)

  describe('tasks with an ordering key', () => {
    it('of a workspace come one after another, in the order of the queue', async () => {
      const { add, claim, end } = setup()
      const first = await add({ workspace: 'main' })
      const second = await add({ workspace: 'main', target: 'pool' })
      const urgent = await add({ workspace: 'main', priority: 1 })
      const free = [...demoSlots(3), ...slots('worker', null, 3)]
      const order: string[] = []
      for (let i = 0; i < 3; i++) {
        const [live, ...none] = await claim(free)
        expect(none).toEqual([])
        expect(await claim(free)).toEqual([])
        order.push(live!.task.id)
        expect(live!.task.spec.workspace).toBe('main')
        await end(live!.task)
      }
      expect(order).toEqual([urgent.id, first.id, second.id])
    })

    it('of different workspaces, of other projects and of none do not wait for each other', async () => {
      const { add, claim } = setup()
      const all = [
        await add({ workspace: 'main' }),
        await add({ workspace: 'other' }),
        await add({ workspace: null }),
        await add({ workspace: null }),
        await add({ project_id: 'other', workspace: 'main' }),
      ]
      expect(ids(await claim([...demoSlots(9), ...slots('other-pod', 'other', 9)]))).toEqual(all.map((task) => task.id))
    })

    it('that are blocked take no slot from what is behind them', async () => {
      const { add, addMany, claim } = setup()
      await add({ workspace: 'main' })
      expect(await claim(demoSlots())).toHaveLength(1)
      await addMany(600, { workspace: 'main', priority: 1 })
      const free = await add({ priority: 900 })
      expect(ids(await claim(demoSlots()))).toEqual([free.id])
    })

    it('are over when the task goes back to the queue or ends, whatever way', async () => {
      const { add, lease, claim, dispatch } = setup()
      await add({ workspace: 'main' })
      const second = await add({ workspace: 'main' })
      const first = await lease()
      await dispatch.requeue([refOf(first)], Date.now() + 60_000)
      expect(ids(await claim(demoSlots(4)))).toEqual([second.id])
      const again = await dispatch.finish(
        { task_id: second.id, attempt: 1 },
        outcome('failed', { error_code: 'AGENT_ERROR' }),
        Date.now() + 60_000,
      )
      expect(again).toMatchObject({ status: 'queued' })
      const third = await add({ workspace: 'main' })
      expect(ids(await claim(demoSlots(4)))).toEqual([third.id])
    })

    it('wait for the head of their ordering key even if it fits no slot', async () => {
      const { add, claim } = setup()
      const first = await add({ workspace: 'main', target: 'pool' })
      await add({ workspace: 'main' })
      expect(await claim(demoSlots(4))).toEqual([])
      expect(ids(await claim([...demoSlots(4), ...slots('worker', null)]))).toEqual([first.id])
    })

    it('of a workspace for later delay no other task', async () => {
      const { add, addMany, claim } = setup()
      await addMany(40, { workspace: 'main', priority: 1, run_after: Date.now() + 60_000 })
      const now = await add({ workspace: 'main' })
      expect(ids(await claim(demoSlots(4)))).toEqual([now.id])
    })

    it('of a session in different workspaces still come one after another', async () => {
      const { add, converse, claim, end } = setup()
      const { task: first, session_id } = await converse({ workspace: 'one' })
      const agent = { kind: 'agent', provider: 'claude-code', prompt: 'more', session_id } as const
      const second = await add({ ...agent, workspace: 'two' })
      const third = await add({ ...agent, workspace: null })
      const order: string[] = []
      for (let i = 0; i < 3; i++) {
        const [live, ...none] = await claim(demoSlots(4))
        expect(none).toEqual([])
        order.push(live!.task.id)
        await end(live!.task)
      }
      expect(order).toEqual([first.id, second.id, third.id])
    })

    it('in a session keep its workspace known', async () => {
      const { converse, sessions } = setup()
      const { session_id } = await converse({ workspace: 'one' })
      const { session_id: none } = await converse()
      expect(await sessions.get(session_id, null)).toMatchObject({ workspace: 'one' })
      expect(await sessions.get(none, null)).toMatchObject({ workspace: null })
      expect((await sessions.getMany([session_id, none, 'ses_unknown'], ['demo'])).map(({ id }) => id).sort()).toEqual(
        [session_id, none].sort(),
      )
      expect(await sessions.getMany([session_id], ['other'])).toEqual([])
    })

    it('a first task that is tried again goes back to the pod of its conversation', async () => {
      const { add, converse, run, claim, dispatch } = setup()
      const { task } = await converse({ target: 'pool' })
      const live = await run(slots('worker-1', null))
      const told = outcome('failed', { error_code: 'AGENT_ERROR', provider_session_id: 'told' })
      await dispatch.finish(refOf(live), told, Date.now() - 1)
      expect(await claim(slots('worker-2', null, 4))).toEqual([])
      // It takes no slot from what is behind it meanwhile.
      const behind = await add({ target: 'pool' })
      expect(ids(await claim(slots('worker-2', null, 1)))).toEqual([behind.id])
      expect(ids(await claim([...slots('worker-2', null, 4), ...slots('worker-1', null)]))).toEqual([task.id])
    })

    it('a first task that was overtaken goes to the pod of its conversation, whatever its target', async () => {
      const { add, converse, run, end, claim } = setup()
      const { task: first, session_id } = await converse({ priority: 500 })
      const agent = { kind: 'agent', provider: 'claude-code', prompt: 'now', session_id } as const
      await add({ ...agent, target: 'pool', priority: 1 })
      await end(await run(slots('worker-1', null)), 'succeeded', { provider_session_id: 'told' })
      expect(await claim(demoSlots(4))).toEqual([])
      expect(ids(await claim(slots('worker-1', null)))).toEqual([first.id])
    })
  })
}
