// A cluster whose key is revoked while it is connected, against the real stack: a socket of the test's own speaks the protocol as an agent would.
import { once } from 'node:events'
import type { HubDown, HubUp } from '@rdev/shared/wire/hub-frames'
import { closeCodes } from '@rdev/shared/wire/limits'
import { protocolVersion } from '@rdev/shared/wire/version'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import type { Bundle } from './setup.ts'
import { leaveShared, sharedStack } from './shared.ts'

let stack: Bundle
beforeAll(async () => {
  stack = await sharedStack()
})
afterAll(() => leaveShared(stack))

const project = 'revoked'
const pod = {
  name: project,
  uid: 'uid',
  role: 'project',
  project_id: project,
  ready: true,
  slots: 2,
  providers: [],
  allow_bypass_permissions: false,
} as const

const keyOfCluster = () =>
  stack.client.json<{ id: string; key: string }>('POST', '/v1/keys', {
    name: 'revoked',
    scopes: ['cluster:connect'],
    cluster_id: project,
    cluster_project_ids: [project],
  })

/** Dials; answers the status with which it was refused, or the open socket. */
async function dial(path: string, bearer: string) {
  const socket = new WebSocket(`${stack.url.replace('http', 'ws')}${path}`, { headers: { authorization: `Bearer ${bearer}` } })
  const frames: HubDown[] = []
  socket.on('message', (text) => frames.push(JSON.parse(String(text)) as HubDown))
  const closed = new Promise<number>((resolve) => socket.once('close', resolve))
  const refused = await new Promise<number | null>((resolve) => {
    socket.once('open', () => resolve(null))
    socket.once('unexpected-response', (_, response) => resolve(response.statusCode ?? 0))
    socket.on('error', () => {})
  })
  const frame = async <Type extends HubDown['type']>(type: Type): Promise<Extract<HubDown, { type: Type }>> => {
    for (;;) {
      const found = frames.findIndex((each) => each.type === type)
      if (found >= 0) return frames.splice(found, 1)[0] as Extract<HubDown, { type: Type }>
      await once(socket, 'message')
    }
  }
  return { refused, closed, frame, send: (up: HubUp) => socket.send(JSON.stringify(up)), close: () => socket.close() }
}

const connect = async (key: string, pods: readonly (typeof pod)[]) => {
  const agent = await dial(`/v1/clusters/${project}/connect`, key)
  expect(agent.refused).toBeNull()
  const about = { protocol: protocolVersion, agent_version: '1', instance: 'instance-of-a-test', agent_time: Date.now() }
  agent.send({ type: 'hello', ...about, pods: [...pods], attempts: [] })
  await agent.frame('welcome')
  return agent
}

const statusOf = async (id: string) => (await stack.client.json<{ status: string }>('GET', `/v1/tasks/${id}`)).status

test('a key that is revoked loses its socket and its lines, and gets no task any more', async () => {
  const thief = await keyOfCluster()
  const agent = await connect(thief.key, [pod])
  const queue = () => stack.client.task({ kind: 'shell', project_id: project, command: 'true', workspace: null, queue_ttl_s: 60 })
  await expect.poll(async () => (await stack.client.fetch('GET', `/v1/projects/${project}`)).status).toBe(200)
  const first = await queue()
  const [task] = (await agent.frame('assign')).tasks
  expect(task?.task_id).toBe(first.id)
  agent.send({ type: 'accepted', attempts: [{ task_id: first.id, attempt: 1, started_at: Date.now() }] })
  await expect.poll(() => statusOf(first.id)).toBe('running')
  const line = await dial(`/v1/tasks/${first.id}/attempts/1/connect`, task!.token)
  expect(line.refused).toBeNull()

  await stack.client.json('POST', `/v1/keys/${thief.id}/revoke`)
  expect([await agent.closed, await line.closed]).toEqual([closeCodes.unauthorized, closeCodes.unauthorized])
  const refused = async (path: string, bearer: string) => {
    const socket = await dial(path, bearer)
    socket.close()
    return socket.refused
  }
  const bound = { timeout: 6_000 }
  await expect.poll(() => refused(`/v1/clusters/${project}/connect`, thief.key), bound).toBe(401)
  await expect.poll(() => refused(`/v1/tasks/${first.id}/attempts/1/connect`, task!.token), bound).toBe(401)
  const second = await queue()
  expect(await statusOf(second.id)).toBe('queued')
  await stack.client.json('POST', `/v1/tasks/${second.id}/cancel`)

  // The cluster goes on with another key. Its pod knows nothing of the first task.
  const next = await connect((await keyOfCluster()).key, [pod])
  await expect.poll(() => statusOf(first.id), { timeout: 20_000 }).toBe('lost')
  next.close()
  await next.closed
})
