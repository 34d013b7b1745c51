import { cancel, type Task } from '@rdev/shared/domain/task'
import { describe, expect, it } from 'vitest'
import { anActor } from '../../testing/actor.ts'
import type { Page } from '../../ports/page.ts'
import { failureOf } from '../../ports/store-refusal.ts'
import { aKey, type Contract, pod } from './setup.ts'

export function readContract(setup: () => Contract): void {
  describe('tasks: insert, get, list', () => {
    it('reads a new task back as it was answered, every part of the spec as it was asked for', async () => {
      const { add, tasks } = setup()
      const created_at = Date.now()
      const spec = {
        kind: 'git',
        command: ['commit', '-m', 'naïve "quotes" \\ 🙂'],
        env: { B: '2', A: '1' },
        timeout_s: 1.5,
        queue_ttl_s: 90,
        priority: 7,
        retry: { max_attempts: 3, on: ['lost', 'infra'] },
        target: 'pool',
        labels: { z: '1', a: '2' },
        metadata: { nul: '\u0000', half: '\ud83d', deep: [1, null, { x: 1e21 }] },
      } as const
      const task = await add(spec, { created_at })
      expect(task).toMatchObject({ status: 'queued', attempt: 0, lane: 'demo', cluster_id: 'home', created_by: 'key_tests', created_at })
      expect(task).toMatchObject({ queue_deadline_at: created_at + 90_000, pod: null, claim_id: null, started_at: null, result: null })
      expect(task.spec).toMatchObject(spec)
      expect(task.run_after).toBeLessThanOrEqual(created_at)
      expect(await tasks.get(task.id, null)).toEqual(task)
      expect(Object.keys(task.spec.env)).toEqual(['B', 'A'])
    })

    it('says of what no column can hold that it is refused, not that the store is away', async () => {
      const { projects } = setup()
      const error: unknown = await projects.report('home', [pod('o\u0000dd', 'odd')], ['odd']).catch((error: unknown) => error)
      expect(failureOf(error)).toBe('data')
    })

    it('does not take a task for a project that does not exist', async () => {
      const { add, tasks } = setup()
      await expect(add({ project_id: 'nowhere' })).rejects.toThrow('no_project')
      expect((await tasks.list({ projects: null }, { limit: 10 })).data).toEqual([])
    })

    it('begins and continues a session together with its task', async () => {
      const { add, converse, sessions } = setup()
      const { task, session_id } = await converse()
      const begun = await sessions.get(session_id, null)
      expect(begun).toMatchObject({ id: session_id, project_id: 'demo', provider: 'claude-code', provider_session_id: null, pod: null })
      expect(begun?.last_task_id).toBe(task.id)
      const next = await add({ kind: 'agent', provider: 'claude-code', prompt: 'more', session_id })
      expect(await sessions.get(session_id, null)).toMatchObject({ last_task_id: next.id, created_at: begun?.created_at })
    })

    it('shows a caller the projects it may see, and nothing of the others', async () => {
      const { add, converse, tasks, sessions, projects } = setup()
      const mine = await add()
      const { task: theirs, session_id } = await converse({ project_id: 'other' })
      expect(await tasks.get(mine.id, ['demo', 'far'])).toEqual(mine)
      expect(await tasks.get(theirs.id, ['demo', 'far'])).toBeUndefined()
      expect(await tasks.get(mine.id, [])).toBeUndefined()
      expect(await tasks.change(theirs.id, anActor({ project_ids: ['demo'] }), (task) => cancel(task, 1))).toBeUndefined()
      expect(await tasks.get(theirs.id, null)).toEqual(theirs)
      expect((await tasks.list({ projects: ['demo'] }, { limit: 10 })).data).toEqual([mine])
      expect((await tasks.list({ projects: ['demo'], project_id: 'other' }, { limit: 10 })).data).toEqual([])
      expect((await tasks.list({ projects: [] }, { limit: 10 })).data).toEqual([])
      expect(await sessions.get(session_id, ['demo'])).toBeUndefined()
      expect((await sessions.list({ projects: ['demo'] }, { limit: 10 })).data).toEqual([])
      expect(await projects.get('other', ['demo'])).toBeUndefined()
      expect((await projects.list(['demo'], { limit: 10 })).data.map((project) => project.id)).toEqual(['demo'])
      expect((await projects.list([], { limit: 10 })).data).toEqual([])
    })

    it('filters by project, session, status and kind', async () => {
      const { add, converse, tasks } = setup()
      const shell = await add()
      const other = await add({ project_id: 'other' })
      const { task: agent, session_id } = await converse()
      await tasks.change(shell.id, anActor(), (task) => cancel(task, Date.now()))
      const ids = async (filter: object) => (await tasks.list({ projects: null, ...filter }, { limit: 10 })).data.map((task) => task.id)
      expect(await ids({})).toEqual([agent.id, other.id, shell.id])
      expect(await ids({ project_id: 'demo' })).toEqual([agent.id, shell.id])
      expect(await ids({ session_id })).toEqual([agent.id])
      expect(await ids({ status: 'cancelled' })).toEqual([shell.id])
      expect(await ids({ status: 'queued', kind: 'shell' })).toEqual([other.id])
    })

    it('pages newest first; what is added meanwhile shifts nothing', async () => {
      const { add, tasks } = setup()
      const all: string[] = []
      for (let i = 0; i < 11; i++) all.unshift((await add()).id)
      const seen: string[] = []
      let page: Page<Task> = await tasks.list({ projects: null }, { limit: 4 })
      for (;;) {
        seen.push(...page.data.map((task) => task.id))
        if (page.next_cursor === null) break
        await add()
        page = await tasks.list({ projects: null }, { limit: 4, cursor: page.next_cursor })
      }
      expect(seen).toEqual(all)
      expect((await tasks.list({ projects: null }, { limit: 15 })).next_cursor).toBeNull()
    })

    it('refuses a cursor that is not one of its own', async () => {
      const { tasks, sessions, projects, keys } = setup()
      const page = { limit: 5, cursor: "x' or \u0000" }
      const refused = { name: 'DomainError', code: 'BAD_REQUEST' }
      await expect(tasks.list({ projects: null }, page)).rejects.toMatchObject(refused)
      await expect(sessions.list({ projects: null }, page)).rejects.toMatchObject(refused)
      await expect(projects.list(null, page)).rejects.toMatchObject(refused)
      await expect(keys.list(null, page)).rejects.toMatchObject(refused)
    })

    it('finds nothing under a name that cannot exist', async () => {
      const { tasks, sessions, projects, keys } = setup()
      for (const name of ['task_unknown', 'a\u0000b', '\ud800', '']) {
        expect(await tasks.get(name, null)).toBeUndefined()
        expect(await sessions.get(name, null)).toBeUndefined()
        expect(await projects.get(name, null)).toBeUndefined()
        expect(await keys.get(name, null)).toBeUndefined()
      }
    })
  })

  describe('projects and clusters', () => {
    it('come into being with the report of their pods, if the cluster may register them', async () => {
      const { projects, clusters } = setup()
      expect(await clusters.list()).toEqual([{ id: 'away' }, { id: 'home' }])
      expect(await projects.get('demo', null)).toMatchObject({ cluster_id: 'home', pod: 'demo-pod', max_running: 4 })
      expect(await projects.get('far', null)).toMatchObject({ allow_bypass_permissions: false, allow_pool: false })
      expect((await projects.list(null, { limit: 2 })).data.map((project) => project.id)).toEqual(['demo', 'far'])
      const { next_cursor } = await projects.list(null, { limit: 2 })
      expect((await projects.list(null, { limit: 2, cursor: next_cursor! })).data.map((project) => project.id)).toEqual(['other'])
    })

    it('are not registered by a cluster that may not, nor under a name that is none', async () => {
      const { projects } = setup()
      const names = ['wanted', 'unwanted', 'Not A Label', '../<b>', 'x'.repeat(64), 'a\u0000b']
      const pods = names.map((name, i) => pod(`pod-${i}`, name))
      await projects.report('home', pods, ['wanted', 'absent', ...names.slice(2)])
      expect((await projects.list(null, { limit: 20 })).data.map(({ id }) => id)).toEqual(['demo', 'far', 'other', 'wanted'])
      // Once it is there, its cluster goes on with it, with whatever key.
      await projects.report('home', [pod('other-name', 'wanted')], [])
      expect(await projects.get('wanted', null)).toMatchObject({ cluster_id: 'home', pod: 'other-name' })
    })

    it('are registered by an operator’s word, once and for one cluster', async () => {
      const { projects, clusters } = setup()
      const project = await projects.register('early', 'later', anActor())
      expect(project).toMatchObject({ id: 'early', cluster_id: 'later', pod: null, max_running: 4, paused: false, allow_pool: false })
      expect(await clusters.list()).toContainEqual({ id: 'later' })
      expect(await projects.register('early', 'later', anActor())).toEqual(project)
      expect(await projects.register('early', 'home', anActor())).toEqual(project)
      await projects.report('later', [pod('early-pod', 'early', { allow_bypass_permissions: true })], [])
      expect(await projects.get('early', null)).toMatchObject({ pod: 'early-pod', allow_bypass_permissions: true })
    })

    it('follow their pods, and change only when these do', async () => {
      const { projects } = setup()
      const before = await projects.get('demo', null)
      await projects.report('home', [pod('demo-pod', 'demo'), pod('other-pod', 'other'), pod('worker-1', null)], [])
      expect(await projects.get('demo', null)).toEqual(before)
      await projects.report(
        'home',
        [pod('demo-2', 'demo', { allow_bypass_permissions: true }), pod('demo-1', 'demo', { ready: false })],
        [],
      )
      expect(await projects.get('demo', null)).toMatchObject({ pod: 'demo-2', allow_bypass_permissions: true })
      expect(await projects.get('other', null)).toMatchObject({ pod: null, cluster_id: 'home' })
      await projects.report('home', [], [])
      expect(await projects.get('demo', null)).toMatchObject({ pod: null, allow_bypass_permissions: true })
    })

    it('of another cluster are left alone', async () => {
      const { projects } = setup()
      const before = await projects.get('far', null)
      await projects.report('home', [pod('mine-now', 'far', { allow_bypass_permissions: true })], ['far'])
      expect(await projects.get('far', null)).toEqual(before)
      await projects.report('new', [], [])
      expect(await projects.get('far', null)).toEqual(before)
    })
  })

  describe('keys', () => {
    it('are found by prefix and by id as they were stored', async () => {
      const { keys, id } = setup()
      const first = aKey(id('key'))
      const second = aKey(id('key'), { project_ids: null, scopes: ['cluster:connect'], cluster_id: 'home', expires_at: Date.now() + 5 })
      await keys.insert(first, anActor())
      await keys.insert(second, anActor())
      expect(await keys.get(first.id, null)).toEqual(first)
      expect(await keys.findByPrefix(second.prefix)).toEqual(second)
      expect(await keys.findByPrefix('missing0')).toBeUndefined()
      expect((await keys.list(null, { limit: 1 })).data).toEqual([second])
      expect((await keys.list(null, { limit: 1, cursor: second.id })).data).toEqual([first])
    })

    it('are seen and revoked inside the projects of who asks, in whole pages', async () => {
      const { keys, id } = setup()
      const mine = [aKey(id('key'), { project_ids: ['demo'] }), aKey(id('key'), { project_ids: [] }), aKey(id('key'))]
      for (const one of mine) {
        await keys.insert(one, anActor())
        for (const project_ids of [['demo', 'far'], null, ['far']]) await keys.insert(aKey(id('key'), { project_ids }), anActor())
      }
      const projects = ['demo', 'other', 'a\u0000b']
      const seen: string[] = []
      let cursor: string | undefined
      do {
        const page = await keys.list(projects, { limit: 2, cursor })
        expect(page.data).toHaveLength(cursor === undefined ? 2 : 1)
        seen.push(...page.data.map((one) => one.id))
        cursor = page.next_cursor ?? undefined
      } while (cursor !== undefined)
      expect(seen).toEqual(mine.map((one) => one.id).toReversed())
      expect((await keys.list([], { limit: 20 })).data).toEqual([mine[1]])
      expect((await keys.list(null, { limit: 20 })).data).toHaveLength(12)

      const [own] = mine
      const everywhere = aKey(id('key'), { project_ids: null })
      await keys.insert(everywhere, anActor())
      expect(await keys.get(own!.id, ['demo'])).toEqual(own)
      expect(await keys.get(own!.id, ['other'])).toBeUndefined()
      expect(await keys.get(everywhere.id, ['demo'])).toBeUndefined()
      expect(await keys.revoke(everywhere.id, anActor({ project_ids: ['demo'] }), 1_000)).toBeUndefined()
      expect(await keys.get(everywhere.id, null)).toEqual(everywhere)
      expect(await keys.revoke(own!.id, anActor({ project_ids: ['demo'] }), 1_000)).toEqual({ ...own, revoked_at: 1_000 })
    })

    it('have a prefix of their own', async () => {
      const { keys, id } = setup()
      const first = aKey(id('key'))
      await keys.insert(first, anActor())
      await expect(keys.insert({ ...first, id: id('key') }, anActor())).rejects.toThrow()
    })

    it('know what they made, through keys that are revoked too, and can take it along', async () => {
      const { keys, id } = setup()
      const now = Date.now()
      const of = (maker: string, more = {}) => aKey(id('key'), { created_by: maker, ...more })
      const parent = of('key_admin')
      const child = of(parent.id)
      const grandchildren = [of(child.id), of(child.id)]
      const others = [of(child.id, { expires_at: now }), of('key_admin')]
      for (const one of [parent, child, ...grandchildren, ...others]) await keys.insert(one, anActor())
      expect(await keys.madeBy(parent.id, null, now)).toEqual([...grandchildren.toReversed(), child])
      await keys.revoke(child.id, anActor(), 1_000)
      expect(await keys.madeBy(parent.id, null, now)).toEqual(grandchildren.toReversed())
      expect(await keys.madeBy(parent.id, ['demo'], now)).toEqual([])
      expect(await keys.revokeMadeBy(parent.id, anActor({ project_ids: ['demo'] }), 2_000)).toEqual([])
      const revoked = await keys.revokeMadeBy(parent.id, anActor(), 2_000)
      expect(revoked.map((one) => [one.id, one.revoked_at]).sort()).toEqual(
        [...grandchildren, others[0]!].map((one) => [one.id, 2_000]).sort(),
      )
      expect(await keys.madeBy(parent.id, null, now)).toEqual([])
      expect(await keys.get(child.id, null)).toMatchObject({ revoked_at: 1_000 })
      expect(await keys.get(others[1]!.id, null)).toEqual(others[1])
      expect(await keys.get(parent.id, null)).toEqual(parent)
      expect(await keys.revokeMadeBy('a\u0000b', anActor(), 2_000)).toEqual([])
    })

    it('are not made by a key that is revoked', async () => {
      const { keys, id } = setup()
      const maker = aKey(id('key'))
      await keys.insert(maker, anActor())
      await keys.revoke(maker.id, anActor(), 1_000)
      const late = aKey(id('key'), { created_by: maker.id })
      await expect(keys.insert(late, anActor())).rejects.toMatchObject({ code: 'KEY_REVOKED' })
      expect(await keys.get(late.id, null)).toBeUndefined()
    })

    it('are revoked once; the first time stays', async () => {
      const { keys, id } = setup()
      const first = aKey(id('key'))
      await keys.insert(first, anActor())
      expect(await keys.revoke(first.id, anActor(), 1_000)).toEqual({ ...first, revoked_at: 1_000 })
      expect(await keys.revoke(first.id, anActor(), 2_000)).toEqual({ ...first, revoked_at: 1_000 })
      expect(await keys.revoke(id('key'), anActor(), 2_000)).toBeUndefined()
    })
  })

  it('can be asked', async () => {
    expect(await setup().ready()).toBe(true)
  })
}
