import { outcome } from '@rdev/shared/domain/task'
import { describe, expect, it } from 'vitest'
import type { ApiKey } from '@rdev/shared/domain/api-key'
import { anActor } from '../../testing/actor.ts'
import { aKey, type Contract, demoSlots, ofCluster, pod, refOf, slots } from './setup.ts'

export function claimContract(setup: () => Contract): void {
  const ids = (live: readonly { task: { id: string } }[]) => live.map(({ task }) => task.id)

  describe('tasks: claim', () => {
    it('leases nothing for a key that is revoked, has ended, or is of another cluster', async () => {
      const { dispatch, keys, aClaim, add, id, takeOver } = setup()
      await takeOver()
      const key = async (more: Partial<ApiKey> = {}): Promise<string> => {
        const row = aKey(id('key'), { ...ofCluster, ...more })
        await keys.insert(row, anActor())
        return row.id
      }
      const task = await add()
      const claim = async (keyId: string) => (await dispatch.claim({ ...aClaim(demoSlots()), keyId })).map(({ task }) => task.id)
      const valid = await key({ expires_at: Date.now() + 60_000 })
      expect(await claim(await key({ revoked_at: Date.now() }))).toEqual([])
      expect(await claim(await key({ expires_at: Date.now() - 1_000 }))).toEqual([])
      expect(await claim(await key({ cluster_id: 'away' }))).toEqual([])
      expect(await claim('key_of_nobody')).toEqual([])
      expect(await claim(valid)).toEqual([task.id])
    })

    it('leases nothing into the pool for a project that may not use it; what waits goes on when it may again', async () => {
      const { add, addMany, claim, converse, end, projects, takeOver } = setup()
      await takeOver()
      const allow = (allow_pool: boolean) => projects.change('demo', anActor(), { allow_pool })
      // A conversation that a worker holds, whatever target its next task names.
      const { session_id } = await converse({ target: 'pool' })
      await end((await claim(slots('worker', null)))[0]!.task, 'succeeded', { provider_session_id: 'told' })
      const more = { kind: 'agent', provider: 'claude-code', prompt: 'more', command: null, session_id } as const
      const bound = await add({ ...more, priority: 1 })
      const held = await add({ target: 'pool', workspace: 'main', priority: 2 })
      const open = await add({ target: 'pool', priority: 3 })
      await addMany(3, { target: 'pool', priority: 4 })
      const home = await add({ priority: 5 })
      const other = await add({ project_id: 'other', target: 'pool', priority: 900 })
      await allow(false)
      expect(ids(await claim([...slots('worker', null, 4), ...demoSlots(2)])).sort()).toEqual([home.id, other.id].sort())
      expect(ids(await claim([...slots('worker', null, 4), ...demoSlots(2)]))).toEqual([])
      await allow(true)
      expect(ids(await claim(slots('worker', null, 3))).sort()).toEqual([bound.id, held.id, open.id].sort())
    })

    it('leases a task for its slot, as the next attempt', async () => {
      const { add, claim, dispatch, tasks, id, live: liveOf } = setup()
      const task = await add()
      const claimId = id('claim')
      const before = Date.now()
      const [live] = await claim(demoSlots(), { claimId })
      expect(live).toMatchObject({ provider_session_id: null })
      expect(live?.task).toMatchObject({ id: task.id, status: 'leased', attempt: 1, pod: 'demo-pod', claim_id: claimId })
      expect(live?.task.lease_until).toBeGreaterThanOrEqual(before + 59_000)
      expect(live?.task.lease_until).toBeLessThanOrEqual(Date.now() + 61_000)
      expect(await tasks.get(task.id, null)).toEqual(live?.task)
      expect(await liveOf()).toEqual([live])
      expect((await dispatch.takeOver('away', 0)).live).toEqual([])
    })

    it('goes by priority, then by when a task was due, then by arrival', async () => {
      const { add, lease, end, dispatch } = setup()
      const first = await add()
      const second = await add()
      const urgent = await add({ priority: 1 })
      const old = await add({}, { created_at: Date.now() - 60_000 })
      const last = await add({ priority: 101 })
      const order: string[] = []
      for (let i = 0; i < 5; i++) {
        const task = await lease()
        order.push(task.id)
        await end(task)
      }
      expect(order).toEqual([urgent.id, old.id, first.id, second.id, last.id])
      expect(await dispatch.nextDue('home')).toEqual({ queued: false, next_at: null })
    })

    // Found by the simulator: a statement that had found nothing ran again, or late, and no hub knew what it leased.
    it('leases nothing when it or a later one has run already', async () => {
      const { add, dispatch, aClaim } = setup()
      const [first, second, third, other] = [aClaim(demoSlots()), aClaim(demoSlots()), aClaim(demoSlots()), aClaim(demoSlots(), 'away')]
      expect(await dispatch.claim(second)).toEqual([])
      const task = await add()
      expect(await dispatch.claim(second)).toEqual([])
      expect(await dispatch.claim(first)).toEqual([])
      expect(await dispatch.claim(other)).toEqual([])
      expect(ids(await dispatch.claim(third))).toEqual([task.id])
      expect(ids(await dispatch.claim(third))).toEqual([task.id])
    })

    // Found by the simulator: the hub was killed while it claimed, and the statement ran after the next hub had read the rows.
    it('leases nothing after another hub has taken over, and still answers what it leased before', async () => {
      const { add, dispatch, takeOver, aClaim, claim } = setup()
      const { generation } = await takeOver()
      const [one, two] = [await add(), await add()]
      const [before, late] = [aClaim(demoSlots()), aClaim(demoSlots())]
      expect(ids(await dispatch.claim(before))).toEqual([one.id])
      const next = await takeOver()
      expect(next.generation).toBe(generation + 1)
      expect(ids(next.live)).toEqual([one.id])
      expect(await dispatch.claim({ ...late, number: late.number + 1_000 })).toEqual([])
      expect(ids(await dispatch.claim(before))).toEqual([one.id])
      expect(ids(await claim(demoSlots()))).toEqual([two.id])
      // An earlier takeover that comes late, or again, changes nothing.
      expect((await dispatch.takeOver('home', generation)).generation).toBe(next.generation)
      expect((await dispatch.takeOver('home', next.generation)).generation).toBe(next.generation)
      expect(await dispatch.claim({ ...before, claimId: 'x', generation: next.generation, number: 1 })).toEqual([])
    })

    it('leases to a hub that took over before the cluster was registered', async () => {
      const { dispatch, projects, add } = setup()
      expect(await dispatch.takeOver('new', 1)).toEqual({ generation: 1, live: [] })
      await projects.report('new', [pod('new-pod', 'new')], ['new'])
      const task = await add({ project_id: 'new' })
      const claim = { clusterId: 'new', keyId: null, slots: slots('new-pod', 'new'), leaseMs: 60_000 }
      expect(ids(await dispatch.claim({ ...claim, claimId: 'first', generation: 1, number: 1 }))).toEqual([task.id])
      expect((await dispatch.takeOver('new', 1)).generation).toBe(1)
      expect(await dispatch.claim({ ...claim, claimId: 'other', generation: 0, number: 2 })).toEqual([])
    })

    it('leases nothing for an unknown cluster', async () => {
      const { dispatch } = setup()
      expect((await dispatch.takeOver('nowhere', 1)).live).toEqual([])
      const none = { clusterId: 'nowhere', claimId: 'none', keyId: null, slots: demoSlots(), leaseMs: 60_000, generation: 1, number: 1 }
      expect(await dispatch.claim(none)).toEqual([])
    })

    it('leases at most one task for each slot, and none without', async () => {
      const { add, claim } = setup()
      for (let i = 0; i < 4; i++) await add()
      expect(await claim([])).toEqual([])
      expect(await claim(demoSlots(2))).toHaveLength(2)
      expect(await claim([...demoSlots(1), ...slots('worker', null, 3)])).toHaveLength(1)
    })

    it('gives a slot only to tasks of its project or pool', async () => {
      const { add, claim } = setup()
      const mine = await add()
      const anywhere = await add({ target: 'pool' })
      const other = await add({ project_id: 'other', target: 'pool' })
      expect(await claim(slots('other-pod', 'other', 3))).toEqual([])
      const pooled = await claim(slots('worker', null, 5))
      expect(ids(pooled)).toEqual([anywhere.id, other.id])
      expect(pooled.map(({ task }) => task.pod)).toEqual(['worker', 'worker'])
      expect(ids(await claim([...slots('other-pod', 'other'), ...demoSlots()]))).toEqual([mine.id])
    })

    it("leaves another cluster's tasks alone", async () => {
      const { add, claim } = setup()
      const far = await add({ project_id: 'far' })
      expect(await claim(slots('far-pod', 'far'))).toEqual([])
      expect(ids(await claim(slots('far-pod', 'far'), { clusterId: 'away' }))).toEqual([far.id])
    })

    it('never has more of a project live than it may run, whatever its priority', async () => {
      const { add, claim, end, lease } = setup()
      for (let i = 0; i < 6; i++) await add({ priority: 1 })
      const other = await add({ project_id: 'other' })
      const live = await claim([...demoSlots(10), ...slots('other-pod', 'other')])
      expect(live).toHaveLength(5)
      expect(ids(live)).toContain(other.id)
      expect(await claim(demoSlots(10))).toEqual([])
      await end(live[0]!.task)
      await lease()
      expect(await claim(demoSlots(10))).toEqual([])
    })

    it('counts pool and own pods together', async () => {
      const { add, claim } = setup()
      for (let i = 0; i < 6; i++) await add({ target: i % 2 ? 'pool' : 'project' })
      const live = [
        ...(await claim([...demoSlots(3), ...slots('worker', null, 3)])),
        ...(await claim([...demoSlots(3), ...slots('worker', null, 3)])),
      ]
      expect(live).toHaveLength(4)
    })

    it('does not count tasks that fit no slot against max_running', async () => {
      const { add, claim } = setup()
      for (let i = 0; i < 5; i++) await add({ priority: 1 })
      const pooled = await add({ target: 'pool' })
      expect(ids(await claim(slots('worker', null)))).toEqual([pooled.id])
    })

    it('leaves tasks that are not due, and those past their queue deadline', async () => {
      const { add, claim, lease, dispatch } = setup()
      await add({ queue_ttl_s: 5 }, { created_at: Date.now() - 6_000 })
      expect(await claim(demoSlots(5))).toEqual([])
      await add()
      await dispatch.requeue([refOf(await lease())], Date.now() + 60_000)
      expect(await claim(demoSlots(5))).toEqual([])
    })

    it('records which pod it leased for: that of its slot, by name and uid, until it goes back', async () => {
      const { add, claim, converse, end, run, dispatch, live: liveOf } = setup()
      const of = (name: string, pod_uid: string) => slots(name, null, 1).map((slot) => ({ ...slot, pod_uid }))
      const { session_id } = await converse({ target: 'pool' })
      const begun = await run(of('worker-1', 'one'))
      expect(begun).toMatchObject({ pod: 'worker-1', pod_uid: 'one' })
      expect(await end(begun, 'succeeded', { provider_session_id: 'told' })).toMatchObject({ pod: 'worker-1', pod_uid: 'one' })
      const bound = await add({ kind: 'agent', provider: 'claude-code', prompt: 'more', session_id, target: 'pool' })
      const anywhere = await add({ target: 'pool' })
      expect([bound.pod_uid, anywhere.pod_uid]).toEqual([null, null])
      // The pod of the conversation has another uid by now: its name is what the session is bound to.
      const live = await claim([...of('worker-1', 'other'), ...of('worker-2', 'two')])
      expect(live.map(({ task }) => [task.id, task.pod, task.pod_uid])).toEqual([
        [bound.id, 'worker-1', 'other'],
        [anywhere.id, 'worker-2', 'two'],
      ])
      expect(await liveOf()).toEqual(live)
      expect(await dispatch.requeue([refOf(live[1]!.task)], Date.now())).toMatchObject([{ pod: null, pod_uid: null }])
      expect(await dispatch.finish(refOf(live[0]!.task), outcome('lost'), Date.now())).toMatchObject({
        status: 'queued',
        pod: null,
        pod_uid: null,
      })
    })

    it('fills the emptiest pod first', async () => {
      const { add, claim } = setup()
      for (let i = 0; i < 3; i++) await add({ target: 'pool' })
      const live = await claim([...slots('worker-1', null, 1), ...slots('worker-2', null, 3)])
      expect(live.map(({ task }) => task.pod)).toEqual(['worker-2', 'worker-2', 'worker-1'])
    })
  })

  describe('tasks: claim, told again', () => {
    it('answers what it leased, and leases nothing more', async () => {
      const { add, claim, id } = setup()
      for (let i = 0; i < 4; i++) await add()
      const claimId = id('claim')
      const first = await claim(demoSlots(2), { claimId })
      expect(first).toHaveLength(2)
      expect(await claim(demoSlots(2), { claimId })).toEqual(first)
      expect(await claim(demoSlots(4), { claimId })).toEqual(first)
    })

    it('leases nothing in place of what has ended or gone back', async () => {
      const { add, claim, end, dispatch, id } = setup()
      for (let i = 0; i < 4; i++) await add()
      const claimId = id('claim')
      const [one, two] = await claim(demoSlots(2), { claimId })
      await end(one!.task)
      expect(await claim(demoSlots(2), { claimId })).toEqual([two])
      await dispatch.requeue([refOf(two!.task)], Date.now())
      expect(await claim(demoSlots(2), { claimId })).toEqual([])
    })
  })

  describe('tasks: claim, in a session', () => {
    it('has one live task, and takes the next when it has ended, in the pod of the conversation', async () => {
      const { add, converse, claim, end } = setup()
      const { task: first, session_id } = await converse({ target: 'pool' })
      const second = await add({ kind: 'agent', provider: 'claude-code', prompt: 'more', session_id })
      const free = [...demoSlots(2), ...slots('worker-1', null, 1), ...slots('worker-2', null, 3)]
      const [live, ...none] = await claim(free)
      expect(live?.task).toMatchObject({ id: first.id, pod: 'worker-2' })
      expect(none).toEqual([])
      expect(await claim(free)).toEqual([])
      await end(live!.task, 'succeeded', { provider_session_id: 'told' })
      // A task of a session runs only in the session's pod, whatever its own target is.
      expect(await claim([...demoSlots(2), ...slots('worker-1', null, 4)])).toEqual([])
      expect(await claim(free)).toMatchObject([{ task: { id: second.id, pod: 'worker-2' }, provider_session_id: 'told' }])
    })

    it('takes its tasks in the order of the queue', async () => {
      const { add, converse, claim } = setup()
      const { session_id } = await converse({ priority: 50 })
      const urgent = await add({ kind: 'agent', provider: 'claude-code', prompt: 'now', session_id, priority: 1 })
      expect(ids(await claim(demoSlots(3)))).toEqual([urgent.id])
    })

    it('is free to choose a pod until the provider has told the conversation', async () => {
      const { add, converse, lease, end, claim } = setup()
      const { session_id } = await converse({ target: 'pool' })
      await end(await lease(slots('worker-1', null)), 'failed', { error_code: 'POD_UNAVAILABLE' })
      await add({ kind: 'agent', provider: 'claude-code', prompt: 'again', session_id, target: 'pool' })
      expect(await claim(slots('worker-2', null))).toHaveLength(1)
    })

    it('gives slots to tasks that are bound to a pod before those that can run in any', async () => {
      const { add, converse, run, end, claim } = setup()
      const { session_id } = await converse({ target: 'pool' })
      await end(await run(slots('worker-1', null)), 'succeeded', { provider_session_id: 'told' })
      const anywhere = await add({ target: 'pool', priority: 1 })
      const home = await add({ kind: 'agent', provider: 'claude-code', prompt: 'x', session_id, target: 'pool' })
      const live = await claim([...slots('worker-1', null), ...slots('worker-2', null)])
      expect(live.map(({ task }) => [task.id, task.pod])).toEqual([
        [anywhere.id, 'worker-2'],
        [home.id, 'worker-1'],
      ])
    })
  })
}
