import { describe, expect, it } from 'vitest'
import { anActor } from '../../testing/actor.ts'
import type { Inserted } from '../../ports/task-store.ts'
import { type Contract, demoSlots, slots } from './setup.ts'

export function insertContract(setup: () => Contract): void {
  const said = (answers: readonly Inserted[]) => answers.map((one) => ('refused' in one ? one.refused : one.repeated ? 'repeated' : 'new'))

  describe('tasks: insert many', () => {
    it('answers each on its own, in their order, as they are read afterwards', async () => {
      const { fresh, tasks, sessions, id } = setup()
      const session_id = id('session')
      const agent = { kind: 'agent', provider: 'claude-code', prompt: 'naïve "quotes" \\ 🙂', command: null, session_id } as const
      const list = [
        fresh({ metadata: { nul: '\u0000', half: '\ud83d' }, workspace: 'main', env: { B: '2', A: '1' } }),
        fresh({ project_id: 'nowhere' }),
        fresh({ ...agent, workspace: 'copy' }, { new_session: true }),
        fresh({ ...agent, session_id: 'ses_unknown' }),
        fresh({ project_id: 'other', target: 'pool', queue_ttl_s: 90, priority: 7 }, { retry_of: 'task_before' }),
        fresh({ run_after: Date.now() + 60_000 }),
      ]
      const answers = await tasks.insert(list)
      expect(said(answers)).toEqual(['new', 'no_project', 'new', 'no_session', 'new', 'new'])
      for (const [i, answer] of answers.entries()) {
        const { id, spec, created_at, retry_of } = list[i]!
        expect(await tasks.get(id, null)).toEqual('task' in answer ? answer.task : undefined)
        if ('task' in answer) expect(answer.task).toMatchObject({ id, spec, created_at, retry_of, status: 'queued', cluster_id: 'home' })
      }
      expect(await tasks.get(list[4]!.id, null)).toMatchObject({ queue_deadline_at: list[4]!.created_at + 90_000 })
      expect(await tasks.get(list[5]!.id, null)).toMatchObject({ run_after: list[5]!.spec.run_after })
      expect(await sessions.get(session_id, null)).toMatchObject({ last_task_id: list[2]!.id, workspace: 'copy', provider: 'claude-code' })
      expect(await tasks.insert([])).toEqual([])
    })

    it('is safe to repeat: what is there is answered as it is, and begins no second session', async () => {
      const { fresh, tasks, sessions, id, claim } = setup()
      const agent = { kind: 'agent', provider: 'claude-code', prompt: 'x', command: null, session_id: id('session') } as const
      const list = [fresh({ target: 'pool' }), fresh(agent, { new_session: true })]
      await tasks.insert([list[0]!])
      const [live] = await claim(slots('worker', null))
      const answers = await tasks.insert([...list, list[0]!])
      expect(said(answers)).toEqual(['repeated', 'new', 'repeated'])
      expect(answers[0]).toMatchObject({ task: { id: list[0]!.id, status: 'leased' } })
      expect(answers[0]).toEqual({ task: live!.task, repeated: true })
      expect(said(await tasks.insert(list))).toEqual(['repeated', 'repeated'])
      for (const one of list) expect(said(await tasks.insert([one]))).toEqual(['repeated'])
      expect((await tasks.list({ projects: null }, { limit: 10 })).data).toHaveLength(2)
      expect((await sessions.list({ projects: null }, { limit: 10 })).data).toHaveLength(1)
    })

    it('continues sessions, the last task of each being its last', async () => {
      const { fresh, converse, tasks, sessions } = setup()
      const { session_id } = await converse()
      const agent = { kind: 'agent', provider: 'claude-code', prompt: 'more', command: null, session_id } as const
      const list = [fresh(agent), fresh(agent), fresh()]
      expect(said(await tasks.insert(list))).toEqual(['new', 'new', 'new'])
      expect(await sessions.get(session_id, null)).toMatchObject({ last_task_id: list[1]!.id })
      expect(said(await tasks.insert([fresh({ ...agent, session_id: 'ses_unknown' })]))).toEqual(['no_session'])
      expect(said(await tasks.insert([fresh({ ...agent, project_id: 'other' })]))).toEqual(['no_session'])
    })

    it('refuses tasks of the pool, and only these, where the project may not use it', async () => {
      const { fresh, tasks, projects } = setup()
      const [pooled, home] = [fresh({ project_id: 'far', target: 'pool' }), fresh({ project_id: 'far' })]
      expect(said(await tasks.insert([pooled]))).toEqual(['no_pool'])
      await projects.change('far', anActor(), { max_queued: 1 })
      // A refused one takes no room in the lane.
      expect(said(await tasks.insert([pooled, home, fresh({ target: 'pool' })]))).toEqual(['no_pool', 'new', 'new'])
      await projects.change('far', anActor(), { allow_pool: true, max_queued: 2 })
      expect(said(await tasks.insert([pooled]))).toEqual(['new'])
      // One that is there is answered as it is, also after the permission went.
      await projects.change('far', anActor(), { allow_pool: false })
      expect(said(await tasks.insert([pooled]))).toEqual(['repeated'])
      expect(said(await tasks.insert([pooled, fresh({ project_id: 'far', target: 'pool' })]))).toEqual(['repeated', 'no_pool'])
    })

    it('takes 500 at once', async () => {
      const { fresh, tasks } = setup()
      const list = Array.from({ length: 500 }, () => fresh())
      const answers = await tasks.insert(list)
      expect(answers.map((one) => 'task' in one && one.task.id)).toEqual(list.map(({ id }) => id))
    })

    it('refuses more tasks than a lane may have queued', async () => {
      const { fresh, tasks, projects, lease, claim } = setup()
      await projects.change('demo', anActor(), { max_queued: 3 })
      const batch = [fresh(), fresh({ project_id: 'nowhere' }), fresh(), fresh({ project_id: 'other' }), fresh(), fresh()]
      expect(said(await tasks.insert(batch))).toEqual(['new', 'no_project', 'new', 'new', 'new', 'queue_full'])
      expect(said(await tasks.insert([fresh()]))).toEqual(['queue_full'])
      // A task that exists already is not refused, and does not count.
      expect(said(await tasks.insert([batch[0]!]))).toEqual(['repeated'])
      await lease()
      expect(said(await tasks.insert([batch[0]!, fresh(), fresh()]))).toEqual(['repeated', 'new', 'queue_full'])
      await claim(demoSlots())
      expect(said(await tasks.insert([fresh()]))).toEqual(['new'])
      await projects.change('demo', anActor(), { max_queued: 0 })
      expect(said(await tasks.insert([fresh()]))).toEqual(['queue_full'])
    })

    it('keeps a large cap by its cached depth, and counts before it refuses', async () => {
      const { fresh, addMany, tasks, projects, claim } = setup()
      await projects.change('demo', anActor(), { max_queued: 1_200, max_running: 1_000 })
      await addMany(1_200)
      expect(said(await tasks.insert([fresh()]))).toEqual(['queue_full'])
      await claim(demoSlots(100))
      await expect.poll(async () => said(await tasks.insert([fresh()])), { timeout: 15_000 }).toEqual(['new'])
    })
  })
}
