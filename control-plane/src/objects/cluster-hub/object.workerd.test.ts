import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import type { Assignment } from '@rdev/shared/domain/attempt'
import { newId } from '@rdev/shared/domain/ids'
import { outcome } from '@rdev/shared/domain/task'
import type { HubDown } from '@rdev/shared/wire/hub-frames'
import { closeCodes } from '@rdev/shared/wire/limits'
import { describe, expect, test, vi } from 'vitest'
import { anActor } from '../../testing/actor.ts'
import { missingPodMs } from './state.ts'
import { createHubs } from './hubs.ts'
import { createTaskLogs } from '../task-log/logs.ts'
import { events, objects } from '../object-fixtures.ts'

const logs = createTaskLogs(env.TASK_LOG, { bytes: (count) => new Uint8Array(count), chance: () => 0 })
const hubs = createHubs(env.CLUSTER_HUB, { chance: () => 0.5 })
const success = outcome('succeeded', { exit_code: 0, duration_ms: 5 })

interface Agent {
  next(): Promise<HubDown>
}
/** The next frame of a type, whatever else comes before it. */
async function frame<Type extends HubDown['type']>(agent: Agent, type: Type): Promise<Extract<HubDown, { type: Type }>> {
  for (;;) {
    const down = await agent.next()
    if (down.type === type) return down as Extract<HubDown, { type: Type }>
  }
}
const assigned = async (agent: Agent): Promise<Assignment> => (await frame(agent, 'assign')).tasks[0]!
const refOf = ({ task_id, attempt }: Assignment) => ({ task_id, attempt })
const acceptedFrame = (task: Assignment) => ({ type: 'accepted' as const, attempts: [{ ...refOf(task), started_at: Date.now() }] })
const finishedFrame = (task: Assignment) => ({ type: 'finished' as const, attempts: [refOf(task)] })

/** A welcomed agent. */
async function connected(prepared?: Awaited<ReturnType<typeof objects>>) {
  const all = prepared ?? (await objects())
  const agent = await all.agent()
  agent.hello()
  await frame(agent, 'welcome')
  return { ...all, agent, connectAgain: all.agent }
}

describe('the control socket', () => {
  test('hello, welcome, assign, accepted, result, finished: a task goes all the way, and the next one follows', async () => {
    const { queue, agent, cluster, row, line, log } = await connected()
    const first = await queue()
    await log(first).sync(first)
    await hubs.poke(cluster)
    const task = await assigned(agent)
    expect(task).toMatchObject({ task_id: first.id, attempt: 1, pod: 'pod-1', command: 'true', kind: 'shell' })
    agent.send(acceptedFrame(task))
    await expect.poll(async () => (await row(first)).status).toBe('running')

    const attempt = await line(first)
    await attempt.next()
    attempt.send(events(0, 'hello'))
    attempt.send({ type: 'result', after: 1, outcome: success })
    expect(await logs.ended(first.id, 5_000, new AbortController().signal)).toBe(true)
    agent.send(finishedFrame(task))
    expect((await logs.page(first.id, 0, 10)).lines.map(({ type }) => type)).toEqual([
      'task.queued',
      'task.leased',
      'output',
      'task.finished',
    ])

    const second = await queue()
    await hubs.poke(cluster)
    expect(await assigned(agent)).toMatchObject({ task_id: second.id, attempt: 1 })
  })

  test('an agent’s token of an assignment opens the task’s log, and nobody else’s', async () => {
    const { queue, agent, cluster } = await connected()
    await queue()
    await hubs.poke(cluster)
    const { task_id, token } = await assigned(agent)
    const { exports } = await import('cloudflare:workers')
    const dial = (id: string, bearer: string) =>
      exports.default.fetch(`http://rdev/v1/tasks/${id}/attempts/1/connect`, {
        headers: { upgrade: 'websocket', authorization: `Bearer ${bearer}` },
      })
    expect((await dial(task_id, token)).status).toBe(101)
    expect(
      (
        await dial(
          task_id.replace(/.$/, (c) => (c === '0' ? '1' : '0')),
          token,
        )
      ).status,
    ).toBe(403)
    expect((await dial(task_id, `${token.slice(0, -2)}xx`)).status).toBe(401)
  })

  test('a newer agent of the cluster takes over with a higher epoch', async () => {
    const { agent, connectAgain } = await connected()
    const newer = await connectAgain()
    expect(await agent.closed()).toBe(closeCodes.superseded)
    newer.hello()
    expect((await frame(newer, 'welcome')).epoch).toBe(2)
  })

  test('malformed frames close it, unknown ones do not; heartbeats are answered', async () => {
    const { agent } = await connected()
    agent.text('{"type":"from_the_future"}')
    agent.send({ type: 'heartbeat', agent_time: 1, attempts: [] })
    expect(await frame(agent, 'alive')).toMatchObject({ server_time: expect.any(Number) })
    agent.text('{"type":"hello"}')
    expect(await agent.closed()).toBe(closeCodes.malformed)
  })

  test('status answers what the agent reported, also after the object slept', async () => {
    const { agent, cluster, hub } = await connected()
    expect(await hubs.status(cluster)).toMatchObject({ connected: true, agent_version: '1.0.0', pods: [{ name: 'pod-1', running: 0 }] })
    await evictDurableObject(hub())
    const status = hubs.status(cluster)
    await frame(agent, 'sync')
    agent.hello()
    expect(await status).toMatchObject({ connected: true, pods: [{ name: 'pod-1' }] })
    agent.close()
    await expect.poll(() => hubs.status(cluster)).toMatchObject({ connected: false })
  })
})

describe('dispatch', () => {
  test('what was queued before anyone came is claimed by the first welcome', async () => {
    const { queue, agent: connect } = await objects()
    const task = await queue()
    const agent = await connect()
    agent.hello()
    expect(await assigned(agent)).toMatchObject({ task_id: task.id })
  })

  test('a full pod’s work waits for `finished`', async () => {
    const { queue, agent, cluster, row, line } = await connected()
    const tasks = [await queue(), await queue(), await queue()]
    await hubs.poke(cluster)
    const { tasks: sent } = await frame(agent, 'assign')
    expect(sent.map(({ task_id }) => task_id)).toEqual([tasks[0]!.id, tasks[1]!.id])
    agent.send({ type: 'accepted', attempts: sent.map((task) => ({ ...refOf(task), started_at: 1 })) })
    const attempt = await line(tasks[0]!)
    await attempt.next()
    attempt.send({ type: 'result', after: 0, outcome: success })
    await expect.poll(async () => (await row(tasks[0]!)).status).toBe('succeeded')
    agent.send(finishedFrame(sent[0]!))
    expect(await assigned(agent)).toMatchObject({ task_id: tasks[2]!.id })
  })

  test('a claim whose answer was lost is asked for again, and nothing is leased twice', async () => {
    const { world, queue, agent, cluster, row } = await connected()
    const task = await queue()
    world.away = { when: 'after', only: 'claim' }
    await hubs.poke(cluster)
    await expect.poll(async () => (await row(task)).status).toBe('leased')
    world.away = null
    // The retry comes by the hub's own alarm, in one to five seconds.
    expect(await assigned(agent)).toMatchObject({ task_id: task.id, attempt: 1 })
    expect((await row(task)).attempt).toBe(1)
  })

  test('rejected goes back to the queue and is sent again with the next number', async () => {
    const { queue, agent, cluster, row } = await connected()
    const task = await queue()
    await hubs.poke(cluster)
    const first = await assigned(agent)
    agent.send({ type: 'rejected', attempts: [{ ...refOf(first), reason: 'no_free_slot' }] })
    expect(await assigned(agent)).toMatchObject({ task_id: task.id, attempt: 2 })
    expect((await row(task)).status).toBe('leased')
    // The log is synced after the agent got the assignment.
    const types = async () => (await logs.page(task.id, 0, 10)).lines.map(({ type }) => type)
    await expect.poll(types).toEqual(['task.queued', 'task.leased', 'task.requeued', 'task.leased'])
  })

  test('an attempt whose log has received something is not given back, whatever a later agent says: it ends with the result of the log, or is lost', async () => {
    const { world, queue, agent, cluster, row, line, connectAgain } = await connected()
    const [told, silent] = [await queue(), await queue()]
    await hubs.poke(cluster)
    const sent = (await frame(agent, 'assign')).tasks
    expect(sent.map(({ task_id }) => task_id)).toEqual([told.id, silent.id])
    const attempts = [await line(told), await line(silent)]
    for (const attempt of attempts) {
      await attempt.next()
      attempt.send(events(0, 'hello'))
      await attempt.next()
    }
    // The log holds the result, and the row does not have it.
    world.away = { when: 'before', only: 'finish' }
    attempts[0]!.send({ type: 'result', after: 1, outcome: success })
    expect(await attempts[0]!.next()).toMatchObject({ type: 'ack', result: true })
    agent.close()
    const next = await connectAgain()
    next.hello()
    for (const task of (await frame(next, 'assign')).tasks) {
      next.send({ type: 'rejected', attempts: [{ ...refOf(task), reason: 'start_failed' }] })
    }
    world.away = null
    for (const task of [told, silent]) expect(await logs.ended(task.id, 20_000, new AbortController().signal)).toBe(true)
    expect(await row(told)).toMatchObject({ status: 'succeeded', attempt: 1 })
    expect(await row(silent)).toMatchObject({ status: 'lost', attempt: 1 })
  })

  test('after five failed dispatches the task has failed', async () => {
    const { queue, agent, cluster, row } = await connected()
    const task = await queue()
    await hubs.poke(cluster)
    for (let n = 1; n <= 5; n++) {
      const sent = await assigned(agent)
      expect(sent.attempt).toBe(n)
      agent.send({ type: 'rejected', attempts: [{ ...refOf(sent), reason: 'start_failed', detail: 'no space' }] })
    }
    expect(await logs.ended(task.id, 5_000, new AbortController().signal)).toBe(true)
    expect(await row(task)).toMatchObject({ status: 'failed', error_code: 'POD_UNAVAILABLE' })
  })
})

describe('a conversation whose pod is gone', () => {
  test('its next task fails once the pod was missing for five minutes; the tasks behind it run', async () => {
    const all = await objects()
    const { queue, cluster, world, row } = all
    const session_id = newId('session', Date.now(), new Uint8Array(10).fill(7))
    const spec = { kind: 'agent', provider: 'claude-code', prompt: 'hello', command: null, session_id } as const
    const { dispatch, tasks } = world.stores
    const template = await queue({ priority: 900 })
    const id = newId('task', Date.now(), new Uint8Array(10).fill(7))
    const first = {
      id,
      spec: { ...template.spec, ...spec, target: 'pool' as const },
      actor: anActor({ key_id: 'key_1' }),
      created_at: Date.now(),
    }
    await tasks.insert([{ ...first, new_session: true, retry_of: null }])
    const slots = [{ pod: 'gone', pod_uid: 'uid-gone', project_id: null }]
    const ask = { clusterId: cluster, claimId: 'elsewhere', keyId: null, slots, leaseMs: 60_000, generation: 0, number: 1 }
    const [live] = await dispatch.claim(ask)
    await dispatch.finish({ task_id: live!.task.id, attempt: 1 }, outcome('succeeded', { provider_session_id: 'told' }), null)

    const next = await queue({ ...spec, workspace: 'main' })
    const behind = await queue({ workspace: 'main' })
    const { agent } = await connected(all)
    expect((await assigned(agent)).task_id).toBe(template.id)
    expect((await row(next)).status).toBe('queued')

    const real = Date.now
    const later = vi.spyOn(Date, 'now').mockImplementation(() => real() + missingPodMs)
    try {
      agent.send({ type: 'heartbeat', agent_time: 1, attempts: [] })
      await frame(agent, 'alive')
      await hubs.poke(cluster)
      expect(await logs.ended(next.id, 5_000, new AbortController().signal)).toBe(true)
      expect(await row(next)).toMatchObject({ status: 'failed', error_code: 'POD_UNAVAILABLE', attempt: 0 })
      expect((await assigned(agent)).task_id).toBe(behind.id)
    } finally {
      later.mockRestore()
    }
  })
})

describe('coming back', () => {
  test('an agent that reconnects is told what to adopt and what to stop; a lost directory is a lost task', async () => {
    const { queue, agent, cluster, row, connectAgain } = await connected()
    const [a, b] = [await queue(), await queue()]
    await hubs.poke(cluster)
    const { tasks: sent } = await frame(agent, 'assign')
    agent.send({ type: 'accepted', attempts: sent.map((task) => ({ ...refOf(task), started_at: 1 })) })
    await expect.poll(async () => (await row(b)).status).toBe('running')
    agent.close()

    const again = await connectAgain()
    const stranger = { task_id: a.id, attempt: 7 }
    again.hello([
      { ...refOf(sent[0]!), pod: 'pod-1', state: 'running' },
      { ...stranger, pod: 'pod-1', state: 'exited' },
    ])
    const welcome = await frame(again, 'welcome')
    expect(welcome.adopt).toMatchObject([{ task_id: a.id, attempt: 1 }])
    expect(welcome.stop).toEqual([stranger])
    await expect.poll(async () => (await row(b)).status).toBe('lost')
    expect((await row(a)).status).toBe('running')
    expect((await logs.page(b.id, 0, 10)).lines.at(-1)?.type).toBe('task.finished')
  })

  test('a leased task that never arrived is sent again', async () => {
    const { queue, agent, cluster, connectAgain } = await connected()
    await queue()
    await hubs.poke(cluster)
    const first = await assigned(agent)
    agent.close()
    const again = await connectAgain()
    again.hello()
    expect(refOf(await assigned(again))).toEqual(refOf(first))
  })

  test('an object evicted between any two frames asks for hello and forgets nothing that matters', async () => {
    const { queue, agent, cluster, hub, row, line } = await connected()
    const evict = () => evictDurableObject(hub())
    const task = await queue()
    await evict()
    await hubs.poke(cluster)
    await frame(agent, 'sync')
    agent.hello()
    const sent = await assigned(agent)
    await evict()
    agent.send(acceptedFrame(sent))
    await frame(agent, 'sync')
    agent.hello([{ ...refOf(sent), pod: 'pod-1', state: 'running' }])
    expect((await frame(agent, 'welcome')).adopt).toMatchObject([refOf(sent)])
    await expect.poll(async () => (await row(task)).status).toBe('running')
    const attempt = await line(task)
    await attempt.next()
    attempt.send({ type: 'result', after: 0, outcome: success })
    await expect.poll(async () => (await row(task)).status).toBe('succeeded')
    await evict()
    agent.send(finishedFrame(sent))
    await frame(agent, 'sync')
    agent.hello()
    expect(await frame(agent, 'welcome')).toMatchObject({ adopt: [], stop: [] })
  })
})

describe('idle', () => {
  test('with nothing live or queued there is no alarm and no query', async () => {
    const { queue, agent, cluster, hub, row, line, world } = await connected()
    const task = await queue()
    await hubs.poke(cluster)
    const sent = await assigned(agent)
    agent.send(acceptedFrame(sent))
    const attempt = await line(task)
    await attempt.next()
    attempt.send({ type: 'result', after: 0, outcome: success })
    await expect.poll(async () => (await row(task)).status).toBe('succeeded')
    agent.send(finishedFrame(sent))
    const alarm = () => runInDurableObject(hub(), (_, { storage }) => storage.getAlarm())
    // An alarm that was set while there was work may come once more; it sets no other.
    const afterRinging = async () => {
      await runDurableObjectAlarm(hub())
      return alarm()
    }
    await expect.poll(afterRinging).toBeNull()
    const before = world.calls.length
    agent.send({ type: 'heartbeat', agent_time: 1, attempts: [] })
    await frame(agent, 'alive')
    agent.send({ type: 'pods', pods: [] })
    agent.send({ type: 'heartbeat', agent_time: 1, attempts: [] })
    await frame(agent, 'alive')
    expect(world.calls.length).toBe(before)
    await expect.poll(alarm).toBeNull()
  })
})
