import { cancel, outcome } from '@rdev/shared/domain/task'
import { describe, expect, it } from 'vitest'
import { anActor } from '../../testing/actor.ts'
import { type Contract, demoSlots, refOf } from './setup.ts'

export function lifeContract(setup: () => Contract): void {
  const usage = { input_tokens: 1, output_tokens: 2, cache_read_tokens: 3, cache_write_tokens: 4 }

  describe('tasks: from lease to end', () => {
    it('marks what was started, once, and only the attempt that was', async () => {
      const { add, lease, dispatch, tasks } = setup()
      await add()
      const task = await lease()
      await dispatch.markStarted([])
      await dispatch.markStarted([{ task_id: task.id, attempt: 2, started_at: 5_000 }])
      expect(await tasks.get(task.id, null)).toEqual(task)
      await dispatch.markStarted([{ ...refOf(task), started_at: 5_000 }])
      await dispatch.markStarted([{ ...refOf(task), started_at: 6_000 }])
      expect(await tasks.get(task.id, null)).toEqual({ ...task, status: 'running', started_at: 5_000 })
    })

    it('writes how it ended, and answers the same when told again', async () => {
      const { add, run, dispatch, tasks } = setup()
      await add()
      const task = await run()
      const end = outcome('failed', {
        exit_code: 7,
        result: 'some \u0000 \ud800 text',
        error_code: 'AGENT_ERROR',
        error: 'it broke',
        usage,
        cost_usd: 0.125,
        denied_tools: [{ name: 'Wr\u0000ite', count: 2 }],
        duration_ms: 1_000,
      })
      const before = Date.now()
      const ended = await dispatch.finish(refOf(task), end, null)
      expect(ended).toMatchObject({ status: 'failed', exit_code: 7, error_code: 'AGENT_ERROR', error: 'it broke', usage, cost_usd: 0.125 })
      expect(ended).toMatchObject({ denied_tools: [{ name: 'Wr\ufffdite', count: 2 }] })
      expect(ended).toMatchObject({ result: 'some \ufffd \ufffd text', lease_until: null, started_at: task.started_at, pod: 'demo-pod' })
      expect(ended?.finished_at).toBeGreaterThanOrEqual(before - 5)
      expect(await dispatch.finish(refOf(task), end, null)).toEqual(ended)
      expect(await dispatch.finish(refOf(task), outcome('succeeded'), null)).toEqual(ended)
      expect(await dispatch.finish(refOf(task), end, Date.now())).toEqual(ended)
      expect(await tasks.get(task.id, null)).toEqual(ended)
      expect((await dispatch.takeOver('home', 0)).live).toEqual([])
    })

    it('adds up what its attempts spent', async () => {
      const { add, lease, dispatch, tasks } = setup()
      await add()
      const first = refOf(await lease())
      const limited = outcome('failed', { error_code: 'RATE_LIMITED', usage, cost_usd: 0.125 })
      expect(await dispatch.finish(first, limited, 0)).toMatchObject({ status: 'queued', usage, cost_usd: 0.125, error_code: null })
      await dispatch.finish(first, limited, 0)
      // An attempt that tells nothing takes nothing away.
      await dispatch.finish(refOf(await lease()), outcome('failed', { error_code: 'AGENT_ERROR' }), 0)
      const last = await lease()
      const more = { input_tokens: 10, output_tokens: 20, cache_read_tokens: 30, cache_write_tokens: 40 }
      const ended = await dispatch.finish(refOf(last), outcome('succeeded', { usage: more, cost_usd: 0.5 }), null)
      const both = { input_tokens: 11, output_tokens: 22, cache_read_tokens: 33, cache_write_tokens: 44 }
      expect(ended).toMatchObject({ status: 'succeeded', attempt: 3, usage: both, cost_usd: 0.625 })
      expect(await tasks.get(last.id, null)).toEqual(ended)
    })

    it('sums of wild numbers can be held too', async () => {
      const { add, lease, dispatch } = setup()
      await add()
      const wild = Number.MAX_SAFE_INTEGER
      const tokens = { input_tokens: wild, output_tokens: wild, cache_read_tokens: wild, cache_write_tokens: wild }
      const end = outcome('failed', { usage: tokens, cost_usd: Number.MAX_VALUE })
      for (let i = 0; i < 19; i++) await dispatch.finish(refOf(await lease()), end, 0)
      const ended = await dispatch.finish(refOf(await lease()), end, null)
      expect(ended).toMatchObject({ status: 'failed', attempt: 20 })
      expect(Number.isSafeInteger(ended?.usage?.input_tokens) && Number.isFinite(ended?.cost_usd)).toBe(true)
    })

    it('computes the start from the duration, if no start was recorded', async () => {
      const { add, lease, dispatch } = setup()
      await add({}, { created_at: Date.now() - 10_000 })
      const ended = await dispatch.finish(refOf(await lease()), outcome('succeeded', { duration_ms: 2_000 }), null)
      expect(ended!.finished_at! - ended!.started_at!).toBe(2_000)
      const young = await add()
      const longer = await dispatch.finish(refOf(await lease()), outcome('succeeded', { duration_ms: 3_600_000 }), null)
      expect(longer?.started_at).toBe(young.created_at)
      await add()
      expect(await dispatch.finish(refOf(await lease()), outcome('lost'), null)).toMatchObject({ started_at: null, status: 'lost' })
    })

    it('writes an outcome whose numbers no column can hold, within bounds', async () => {
      const { add, lease, dispatch } = setup()
      await add()
      const wild = outcome('failed', { exit_code: 1e15, duration_ms: 1e300, cost_usd: 1e308 })
      expect(await dispatch.finish(refOf(await lease()), wild, null)).toMatchObject({ status: 'failed', exit_code: 2 ** 31 - 1 })
    })

    it('changes nothing for a stale attempt, and answers undefined for an unknown task', async () => {
      const { add, lease, dispatch, tasks } = setup()
      await add()
      const first = await lease()
      await dispatch.requeue([refOf(first)], Date.now())
      const queued = await tasks.get(first.id, null)
      expect(await dispatch.finish(refOf(first), outcome('succeeded'), null)).toEqual(queued)
      const second = await lease()
      expect(second.attempt).toBe(2)
      expect(await dispatch.finish(refOf(first), outcome('succeeded'), null)).toEqual(second)
      await dispatch.markStarted([{ ...refOf(first), started_at: 1 }])
      expect(await dispatch.requeue([refOf(first)], Date.now())).toEqual([])
      await dispatch.renew('home', [refOf(first)], 3_600_000)
      expect(await tasks.get(first.id, null)).toEqual(second)
      expect(await dispatch.finish({ task_id: 'task_unknown', attempt: 1 }, outcome('lost'), null)).toBeUndefined()
    })

    it("records the session's pod, and the provider's id of the conversation", async () => {
      const { converse, run, end, sessions } = setup()
      const { session_id } = await converse()
      await end(await run(), 'succeeded', { provider_session_id: 'conversation-1' })
      expect(await sessions.get(session_id, null)).toMatchObject({ provider_session_id: 'conversation-1', pod: 'demo-pod' })
    })

    it('goes back to the queue when it may be tried again', async () => {
      const { add, run, claim, dispatch } = setup()
      const created = await add({ queue_ttl_s: 60 })
      const task = await run()
      const retryAt = Date.now() + 60_000
      const again = await dispatch.finish(
        refOf(task),
        outcome('failed', { error_code: 'AGENT_ERROR', duration_ms: 5, result: 'x' }),
        retryAt,
      )
      expect(again).toEqual({ ...created, attempt: 1, run_after: retryAt, queue_deadline_at: null })
      expect(await dispatch.finish(refOf(task), outcome('failed'), retryAt + 5)).toEqual(again)
      expect(await claim(demoSlots())).toEqual([])
      expect(await dispatch.nextDue('home')).toEqual({ queued: true, next_at: retryAt })
    })

    it('is not tried again after a cancel request', async () => {
      const { add, run, dispatch, tasks } = setup()
      await add()
      const task = await run()
      await tasks.change(task.id, anActor(), (now) => cancel(now, 1_000))
      const ended = await dispatch.finish(refOf(task), outcome('failed', { error_code: 'AGENT_ERROR' }), Date.now())
      expect(ended).toMatchObject({ status: 'failed', error_code: 'AGENT_ERROR', cancel_requested_at: 1_000, attempt: 1, pod: 'demo-pod' })
    })

    it('goes back to the queue when it never started, and only then', async () => {
      const { add, lease, run, dispatch, tasks } = setup()
      await add()
      const leased = await lease()
      await add()
      const running = await run()
      const runAfter = Date.now() - 5
      const back = await dispatch.requeue([refOf(leased), refOf(running)], runAfter)
      expect(back).toEqual([
        { ...leased, status: 'queued', pod: null, pod_uid: null, claim_id: null, lease_until: null, run_after: runAfter },
      ])
      expect(await dispatch.requeue([refOf(leased)], runAfter)).toEqual([])
      expect(await dispatch.requeue([], runAfter)).toEqual([])
      expect(await tasks.get(running.id, null)).toEqual(running)
    })

    // Found by the simulator: the hub was killed while it gave an attempt back, the next hub started it, and then the statement ran.
    it('changes nothing for a generation that is over', async () => {
      const { add, lease, dispatch, tasks, takeOver } = setup()
      await add()
      const { generation } = await takeOver()
      const task = await lease()
      const before = { clusterId: 'home', generation }
      const now = { clusterId: 'home', generation: (await takeOver()).generation }
      expect(await dispatch.requeue([refOf(task)], Date.now(), before)).toEqual([])
      expect(await dispatch.finish(refOf(task), outcome('failed'), null, before)).toEqual(task)
      expect(await tasks.get(task.id, null)).toEqual(task)
      expect(await dispatch.requeue([refOf(task)], Date.now(), now)).toMatchObject([{ status: 'queued' }])
      const again = await lease()
      expect(await dispatch.finish(refOf(again), outcome('failed'), null, now)).toMatchObject({ status: 'failed' })
    })

    it('keeps its lease while it is renewed', async () => {
      const { add, lease, run, end, dispatch, tasks } = setup()
      await add()
      const leased = await lease()
      await add()
      const running = await run()
      await add()
      const ended = await end(await run())
      await dispatch.renew('away', [refOf(leased)], 3_600_000)
      expect(await tasks.get(leased.id, null)).toEqual(leased)
      await dispatch.renew('home', [refOf(leased), refOf(running), refOf(ended)], 3_600_000)
      for (const { id } of [leased, running]) {
        expect((await tasks.get(id, null))?.lease_until).toBeGreaterThan(Date.now() + 3_590_000)
      }
      expect(await tasks.get(ended.id, null)).toEqual(ended)
      await dispatch.renew('home', [], 1)
    })
  })

  describe('tasks: change', () => {
    it('writes what the step says and answers before and after', async () => {
      const { add, tasks } = setup()
      const task = await add()
      const changed = await tasks.change(task.id, anActor({ project_ids: ['demo'] }), (now) => cancel(now, 9_000))
      expect(changed?.before).toEqual(task)
      expect(changed?.after).toMatchObject({ status: 'cancelled', error_code: 'CANCELLED', finished_at: 9_000, cancel_requested_at: 9_000 })
      expect(await tasks.get(task.id, null)).toEqual(changed?.after)
      expect(await tasks.change(task.id, anActor(), (now) => cancel(now, 9_999))).toEqual({ before: changed?.after, after: changed?.after })
      expect(await tasks.change('task_unknown', anActor(), (now) => cancel(now, 1))).toBeUndefined()
    })

    it('only records the cancel request when an attempt is live', async () => {
      const { add, run, tasks } = setup()
      await add()
      const task = await run()
      const { after } = (await tasks.change(task.id, anActor(), (now) => cancel(now, 9_000)))!
      expect(after).toEqual({ ...task, cancel_requested_at: 9_000 })
    })

    it('lets an error of the step out and writes nothing', async () => {
      const { add, tasks } = setup()
      const task = await add()
      const step = () => {
        throw new RangeError('no')
      }
      await expect(tasks.change(task.id, anActor(), step)).rejects.toThrow(RangeError)
      expect(await tasks.get(task.id, null)).toEqual(task)
    })
  })

  describe('tasks: the queue in time', () => {
    it('fails tasks past their queue deadline, of this cluster only, once', async () => {
      const { add, dispatch, tasks } = setup()
      const long = { created_at: Date.now() - 60_000 }
      const late = await add({ queue_ttl_s: 30 }, long)
      const patient = await add({ queue_ttl_s: 3_600 }, long)
      const far = await add({ project_id: 'far', queue_ttl_s: 30 }, long)
      const expired = await dispatch.expireQueued('home')
      expect(expired).toMatchObject([{ id: late.id, status: 'failed', error_code: 'QUEUE_EXPIRED', attempt: 0 }])
      expect(expired[0]?.finished_at).not.toBeNull()
      expect(await tasks.get(late.id, null)).toEqual(expired[0])
      expect(await dispatch.expireQueued('home')).toEqual([])
      expect(await tasks.get(patient.id, null)).toEqual(patient)
      expect(await tasks.get(far.id, null)).toEqual(far)
    })

    it('knows when to look again', async () => {
      const { add, lease, dispatch } = setup()
      expect(await dispatch.nextDue('home')).toEqual({ queued: false, next_at: null })
      await add()
      expect(await dispatch.nextDue('home')).toEqual({ queued: true, next_at: null })
      const waits = await add({ queue_ttl_s: 600 })
      expect(await dispatch.nextDue('home')).toEqual({ queued: true, next_at: waits.queue_deadline_at })
      const later = Date.now() + 60_000
      await dispatch.requeue([refOf(await lease())], later)
      expect(await dispatch.nextDue('home')).toEqual({ queued: true, next_at: later })
      expect(await dispatch.nextDue('away')).toEqual({ queued: false, next_at: null })
    })
  })
}
