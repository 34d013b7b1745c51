import { describe, expect, it } from 'vitest'
import { anActor } from '../../testing/actor.ts'
import { type Contract, demoSlots, slots } from './setup.ts'

export function queueContract(setup: () => Contract): void {
  describe('queue', () => {
    it('shows the lanes that have something queued, deepest first, to callers that may see them', async () => {
      const { add, addMany, lease, tasks } = setup()
      expect(await tasks.queue({ projects: null }, 10)).toEqual([])
      const first = await add({ priority: 200 })
      await addMany(3, { priority: 200 })
      const head = await add({ priority: 7, target: 'pool' })
      await add({ project_id: 'other' })
      await add({ project_id: 'far' })
      await add({ project_id: 'far' })
      await lease(slots('other-pod', 'other'))
      const all = await tasks.queue({ projects: null }, 10)
      expect(all.map(({ project_id, depth }) => [project_id, depth])).toEqual([
        ['demo', 5],
        ['far', 2],
      ])
      expect(all[0]).toEqual({
        project_id: 'demo',
        cluster_id: 'home',
        depth: 5,
        live: 0,
        max_running: 4,
        weight: 100,
        max_queued: 100_000,
        paused: false,
        allow_pool: true,
        oldest_at: first.created_at,
        priorities: [
          { priority: 7, depth: 1 },
          { priority: 200, depth: 4 },
        ],
        head: { task_id: head.id, reason: 'due', target: 'pool', session_pod: null, run_after: head.run_after, by: null },
      })
      const names = async (filter: Parameters<typeof tasks.queue>[0], limit = 10) =>
        (await tasks.queue(filter, limit)).map((lane) => lane.project_id)
      expect(await names({ projects: null }, 1)).toEqual(['demo'])
      expect(await names({ projects: ['far', 'other'] })).toEqual(['far'])
      expect(await names({ projects: [] })).toEqual([])
      expect(await names({ projects: null, project_id: 'far' })).toEqual(['far'])
      expect(await names({ projects: ['demo'], project_id: 'far' })).toEqual([])
    })

    it('says why the head of a lane waits, and for whom', async () => {
      const { add, converse, lease, end, run, tasks, projects } = setup()
      const head = async () => (await tasks.queue({ projects: ['demo'] }, 1))[0]?.head
      const later = await add({ run_after: Date.now() + 90_000, priority: 1 })
      const soon = await add({ run_after: Date.now() + 60_000, priority: 900 })
      expect(await head()).toMatchObject({ task_id: soon.id, reason: 'later', run_after: soon.run_after, by: null })
      const due = await add({ workspace: 'main' })
      expect(await head()).toMatchObject({ task_id: due.id, reason: 'due', by: null })

      const holder = await lease()
      const waits = await add({ workspace: 'main' })
      expect(await head()).toMatchObject({ task_id: waits.id, reason: 'workspace', by: holder.id })
      await projects.change('demo', anActor(), { max_running: 1 })
      expect(await head()).toMatchObject({ task_id: waits.id, reason: 'max_running', by: null })
      await projects.change('demo', anActor(), { paused: true, max_running: 4 })
      expect(await head()).toMatchObject({ task_id: waits.id, reason: 'paused' })
      await projects.change('demo', anActor(), { paused: false })
      const pooled = await add({ target: 'pool', priority: 1 })
      expect(await head()).toMatchObject({ task_id: pooled.id, reason: 'due' })
      await projects.change('demo', anActor(), { allow_pool: false })
      expect(await head()).toMatchObject({ task_id: pooled.id, reason: 'pool_not_allowed', by: null })
      await projects.change('demo', anActor(), { allow_pool: true })
      await end(await lease(slots('worker', null)))
      await end(holder)
      await end(await lease())

      const { session_id } = await converse()
      const talking = await run()
      const next = await add({ kind: 'agent', provider: 'claude-code', prompt: 'more', session_id })
      expect(await head()).toMatchObject({ task_id: next.id, reason: 'session', by: talking.id })
      expect((await tasks.queue({ projects: ['demo'] }, 1))[0]).toMatchObject({ live: 1, depth: 3, oldest_at: later.created_at })
    })

    it('fails at most 500 tasks past their deadline at once', async () => {
      const { fresh, dispatch, tasks, claim } = setup()
      const long = { created_at: Date.now() - 60_000 }
      for (let i = 0; i < 2; i++) await tasks.insert(Array.from({ length: 300 }, () => fresh({ queue_ttl_s: 5 }, long)))
      const due = await dispatch.nextDue('home')
      expect(due.queued).toBe(true)
      expect(due.next_at).toBeLessThan(Date.now())
      expect(await claim(demoSlots())).toEqual([])
      expect(await dispatch.expireQueued('home')).toHaveLength(500)
      expect(await dispatch.expireQueued('home')).toHaveLength(100)
      expect(await dispatch.nextDue('home')).toEqual({ queued: false, next_at: null })
    })
  })
}
