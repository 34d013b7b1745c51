import { env } from 'cloudflare:workers'
import type { HubDown } from '@rdev/shared/wire/hub-frames'
import { outcome } from '@rdev/shared/domain/task'
import { closeCodes } from '@rdev/shared/wire/limits'
import { expect, test } from 'vitest'
import { anActor } from '../../testing/actor.ts'
import { events, objects } from '../object-fixtures.ts'
import { createHubs } from './hubs.ts'

const hubs = createHubs(env.CLUSTER_HUB, { chance: () => 0.5 })

/** A welcomed agent with one running task, and the line that it opened with the token of its assignment. */
async function setup() {
  const all = await objects()
  const agent = await all.agent()
  agent.hello()
  const until = async <Type extends HubDown['type']>(type: Type) => {
    for (;;) {
      const down = await agent.next()
      if (down.type === type) return down as Extract<HubDown, { type: Type }>
    }
  }
  await until('welcome')
  const first = await all.queue()
  await hubs.poke(all.cluster)
  const [task] = (await until('assign')).tasks
  agent.send({ type: 'accepted', attempts: [{ task_id: first.id, attempt: 1, started_at: Date.now() }] })
  await expect.poll(async () => (await all.row(first)).status).toBe('running')
  const dial = () => all.lineWith(first, task!.token)
  const revoke = () => all.world.stores.keys.revoke(agent.key.id, anActor(), Date.now())
  return { ...all, agent, agentAgain: all.agent, first, dial, revoke }
}

test('a key that was revoked without a word gets no task any more, opens no line, and registers no pod', async () => {
  const { agent, first, dial, revoke, queue, row, cluster, world, pod } = await setup()
  await revoke()
  const next = await queue()
  world.calls.length = 0
  await hubs.poke(cluster)
  await expect.poll(() => world.calls).toContain('claim')
  await expect.poll(() => world.calls).toContain('nextDue')
  expect((await row(next)).status).toBe('queued')
  await expect(dial()).rejects.toThrow('401')

  agent.send({ type: 'pods', pods: [pod({ allow_bypass_permissions: true })] })
  agent.send({ type: 'heartbeat', agent_time: 0, attempts: [] })
  for (;;) if ((await agent.next()).type === 'alive') break
  expect(await world.stores.projects.get(first.spec.project_id, null)).toMatchObject({ allow_bypass_permissions: false })
})

test('the hub that is told of a revocation closes its socket and the lines of that key, and what they held back counts for nothing', async () => {
  const { agent, first, dial, revoke, row, cluster } = await setup()
  const line = await dial()
  await line.next()
  line.send(events(0, 'before'))
  await line.next()
  await revoke()
  await hubs.keyRevoked(cluster, agent.key.id)
  expect(await agent.closed()).toBe(closeCodes.unauthorized)
  expect(await line.closed()).toBe(closeCodes.unauthorized)
  line.send({ type: 'result', after: 1, outcome: outcome('succeeded', { exit_code: 0 }) })
  expect((await row(first)).status).toBe('running')
})

test('the next agent, with another key, goes on with what runs', async () => {
  const { agent: thief, first, revoke, cluster, agentAgain, row } = await setup()
  await revoke()
  await hubs.keyRevoked(cluster, thief.key.id)
  await thief.closed()
  const next = await agentAgain()
  next.hello([{ task_id: first.id, attempt: 1, pod: 'pod-1', state: 'running' }])
  const welcome = await next.next()
  expect(welcome).toMatchObject({ type: 'welcome', adopt: [{ task_id: first.id, attempt: 1 }] })
  expect((await row(first)).status).toBe('running')
})

test('a cluster registers the projects that its key names, and an operator’s word adds one whose pod is there already', async () => {
  const { agent: connect, world, cluster, pod, project } = await objects()
  const named = `${project}-a`
  const unnamed = `${project}-b`
  const agent = await connect({ cluster_project_ids: [named] })
  const pods = [pod(), pod({ name: 'pod-2', project_id: named }), pod({ name: 'pod-3', project_id: unnamed })]
  agent.hello([], pods)
  await expect.poll(async () => (await world.stores.projects.get(named, null))?.pod).toBe('pod-2')
  expect(await world.stores.projects.get(unnamed, null)).toBeUndefined()

  await world.stores.projects.register(unnamed, cluster, anActor())
  await hubs.projectRegistered(cluster)
  for (;;) if ((await agent.next()).type === 'sync') break
  agent.hello([], pods)
  await expect.poll(async () => (await world.stores.projects.get(unnamed, null))?.pod).toBe('pod-3')
})
