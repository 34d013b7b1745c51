import { describe, expect, it } from 'vitest'
import { anActor } from '../../testing/actor.ts'
import { type Contract, demoSlots, pod, slots } from './setup.ts'

/** Projects are lanes: which lanes get slots of the pool, and which get none. */
export function laneContract(setup: () => Contract): void {
  const pooled = (count = 1) => slots('worker', null, count)
  const many = { max_running: 10_000 }

  /** Projects of the cluster with room for all, and their weights. */
  async function lanes({ projects }: Contract, weights: Readonly<Record<string, number>>) {
    const names = Object.keys(weights)
    await projects.report(
      'home',
      names.map((name) => pod(`${name}-pod`, name)),
      names,
    )
    for (const name of names) await projects.change(name, anActor(), { ...many, weight: weights[name]!, allow_pool: true })
  }

  /** Whose tasks were leased, in order of the claims. */
  async function leased({ claim }: Contract, claims: number, slots = 1): Promise<string[]> {
    const order: string[] = []
    for (let i = 0; i < claims; i++) order.push(...(await claim(pooled(slots))).map(({ task }) => task.spec.project_id))
    return order
  }
  const count = (order: readonly string[], name: string) => order.filter((one) => one === name).length

  describe('lanes', () => {
    it('one with thousands queued delays the only task of another by one slot at most', async () => {
      const t = setup()
      await lanes(t, { demo: 100, other: 100 })
      await t.addMany(3_000, { target: 'pool', priority: 1 })
      await leased(t, 7)
      await t.add({ project_id: 'other', target: 'pool', priority: 900 })
      expect(await leased(t, 2)).toContain('other')
      // So also where many slots are given at once, and by a lane that was served before.
      await leased(t, 2, 20)
      await t.add({ project_id: 'other', target: 'pool', priority: 900 })
      expect(count(await leased(t, 1, 2), 'other')).toBe(1)
    })

    it.each([1, 7])('share the pool by weight, within one slot each, where %i slots come at once', async (slots) => {
      const t = setup()
      const weights = { demo: 100, other: 200, third: 300 }
      await lanes(t, weights)
      for (const project_id of Object.keys(weights)) await t.addMany(60, { project_id, target: 'pool' })
      const order: string[] = []
      while (order.length < 84) {
        order.push(...(await leased(t, 1, slots)))
        for (const [one, weight] of Object.entries(weights)) {
          for (const [other, otherWeight] of Object.entries(weights)) {
            const ahead = count(order, one) / weight - count(order, other) / otherWeight
            expect(ahead).toBeLessThanOrEqual(1 / weight + 1 / otherWeight + 1e-9)
          }
          // After whole rounds the shares are what the weights say, but for a tie.
          if (order.length % 6 === 0) expect(Math.abs(count(order, one) - (order.length * weight) / 600)).toBeLessThanOrEqual(1)
        }
      }
    })

    it('that had nothing queued for long get no more than their share afterwards', async () => {
      const t = setup()
      await lanes(t, { demo: 100, other: 100 })
      await t.addMany(100, { target: 'pool' })
      await leased(t, 50)
      await t.addMany(50, { project_id: 'other', target: 'pool' })
      expect(Math.abs(count(await leased(t, 20), 'other') - 10)).toBeLessThanOrEqual(1)
    })

    it("pay nothing for slots in their project's own pods", async () => {
      const t = setup()
      await lanes(t, { demo: 100, other: 100 })
      await t.addMany(20)
      await t.addMany(20, { target: 'pool' })
      await t.addMany(20, { project_id: 'other', target: 'pool' })
      const order: string[] = []
      for (let i = 0; i < 10; i++) {
        expect(await t.claim(demoSlots(2))).toHaveLength(2)
        order.push(...(await leased(t, 1)))
      }
      expect(Math.abs(count(order, 'demo') - 5)).toBeLessThanOrEqual(1)
    })

    it('order their own tasks by priority, which delays no other lane', async () => {
      const t = setup()
      await lanes(t, { demo: 100, other: 100 })
      await t.addMany(10, { target: 'pool', priority: 1 })
      await t.addMany(10, { project_id: 'other', target: 'pool', priority: 900 })
      const urgent = await t.add({ project_id: 'other', target: 'pool', priority: 5 })
      const live = await t.claim(pooled(4))
      expect(live.map(({ task }) => task.id)).toContain(urgent.id)
      expect(
        count(
          live.map(({ task }) => task.spec.project_id),
          'demo',
        ),
      ).toBe(2)
    })

    it('start nothing while they are paused, and go on when they are resumed', async () => {
      const { projects, add, claim } = setup()
      const paused = await add({ target: 'pool' })
      const other = await add({ project_id: 'other', target: 'pool' })
      expect(await projects.change('demo', anActor(), { paused: true })).toMatchObject({ paused: true, max_running: 4 })
      expect((await claim([...pooled(), ...demoSlots()])).map(({ task }) => task.id)).toEqual([other.id])
      expect(await claim([...pooled(), ...demoSlots()])).toEqual([])
      await projects.change('demo', anActor(), { paused: false })
      expect((await claim(pooled())).map(({ task }) => task.id)).toEqual([paused.id])
    })

    it('that are full take no slot from others', async () => {
      const { projects, addMany, claim } = setup()
      await projects.change('demo', anActor(), { max_running: 1 })
      await addMany(10, { target: 'pool', priority: 1 })
      await addMany(10, { project_id: 'other', target: 'pool' })
      const first = (await claim(pooled(4))).map(({ task }) => task.spec.project_id)
      const then = (await claim(pooled(4 - first.length))).map(({ task }) => task.spec.project_id)
      expect([...first, ...then].sort()).toEqual(['demo', 'other', 'other', 'other'])
    })

    it('with max_running 0 start nothing', async () => {
      const { projects, add, claim } = setup()
      await projects.change('demo', anActor(), { max_running: 0 })
      await add()
      expect(await claim(demoSlots())).toEqual([])
    })

    it('whose tasks are all for later take no slot, whatever their priority', async () => {
      const { add, addMany, claim } = setup()
      const later = Date.now() + 60_000
      await addMany(50, { target: 'pool', priority: 0, run_after: later })
      await addMany(50, { project_id: 'other', target: 'pool', priority: 0, run_after: later })
      const now = await add({ target: 'pool', priority: 1_000 })
      const [live, ...none] = await claim(pooled(3))
      expect(live?.task.id).toBe(now.id)
      expect(none).toEqual([])
    })

    it('skip tasks past their queue deadline', async () => {
      const { add, claim, dispatch } = setup()
      const long = { created_at: Date.now() - 60_000 }
      for (let i = 0; i < 5; i++) await add({ target: 'pool', queue_ttl_s: 5 }, long)
      const fine = await add({ target: 'pool' })
      for (let i = 0; i < 5; i++) await add({ workspace: 'main', queue_ttl_s: 5 }, long)
      const next = await add({ workspace: 'main' })
      expect((await claim([...pooled(3), ...demoSlots()])).map(({ task }) => task.id)).toEqual([fine.id, next.id])
      expect(await dispatch.expireQueued('home')).toHaveLength(10)
    })
  })

  describe('projects: change', () => {
    it('sets what is given, and what a lane may have follows at once', async () => {
      const { projects } = setup()
      const before = (await projects.get('demo', null))!
      expect(before).toMatchObject({ max_running: 4, weight: 100, max_queued: 100_000, paused: false })
      const after = await projects.change('demo', anActor({ project_ids: ['demo'] }), { weight: 250, max_queued: 5 })
      expect(after).toEqual({ ...before, weight: 250, max_queued: 5, updated_at: after!.updated_at })
      expect(await projects.get('demo', null)).toEqual(after)
      await projects.report('home', [pod('demo-2', 'demo'), pod('other-pod', 'other')], [])
      expect(await projects.get('demo', null)).toMatchObject({ pod: 'demo-2', weight: 250, max_queued: 5 })
    })

    it('knows no project that the caller may not see, or that is not there', async () => {
      const { projects } = setup()
      expect(await projects.change('demo', anActor({ project_ids: ['other'] }), { weight: 1 })).toBeUndefined()
      expect(await projects.change('nowhere', anActor(), { weight: 1 })).toBeUndefined()
      expect(await projects.change('a\u0000b', anActor(), { weight: 1 })).toBeUndefined()
      expect(await projects.get('demo', null)).toMatchObject({ weight: 100 })
    })

    it('reads many at once', async () => {
      const { projects } = setup()
      const names = async (ids: string[], filter: string[] | null) => (await projects.getMany(ids, filter)).map(({ id }) => id).sort()
      expect(await names(['demo', 'far', 'nowhere', 'demo'], null)).toEqual(['demo', 'far'])
      expect(await names(['demo', 'far'], ['far'])).toEqual(['far'])
      expect(await names([], null)).toEqual([])
    })
  })
}
