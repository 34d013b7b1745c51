// The authorisation suite shows that every route checks the key; this file shows it on the real stack.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createClient } from '../dev/client.ts'
import { withKey } from './setup.ts'
import type { Bundle } from './setup.ts'
import { leaveShared, sharedStack } from './shared.ts'

let stack: Bundle
beforeAll(async () => {
  stack = await sharedStack()
})
afterAll(() => leaveShared(stack))

const codeOf = async (response: Response) => `${response.status} ${((await response.json()) as { code: string }).code}`

test('a key sees only its own project, and may do what its scopes allow', async () => {
  const { task } = await stack.run({ kind: 'shell', project_id: 'demo', command: 'echo secret' })
  const reader = await withKey(stack, { scopes: ['tasks:read'], project_ids: ['demo'] })
  const stranger = await withKey(stack, { scopes: ['tasks:read', 'tasks:write'], project_ids: ['elsewhere'] })

  expect(await reader.client.json('GET', `/v1/tasks/${task.id}`)).toEqual(task)
  expect(
    await codeOf(await reader.client.fetch('POST', '/v1/tasks', { body: { kind: 'shell', project_id: 'demo', command: 'true' } })),
  ).toBe('403 FORBIDDEN')
  for (const [method, path, body] of [
    ['GET', `/v1/tasks/${task.id}`],
    ['GET', `/v1/tasks/${task.id}/events`],
    ['POST', `/v1/tasks/${task.id}/cancel`],
    ['POST', `/v1/tasks/${task.id}/tickets`],
    ['POST', '/v1/tasks', { kind: 'shell', project_id: 'demo', command: 'true' }],
    ['POST', '/v1/projects/demo/shell', { command: 'true' }],
  ] as const) {
    expect(await codeOf(await stranger.client.fetch(method, path, { body })), `${method} ${path}`).toBe('404 NOT_FOUND')
  }
  expect(await stranger.client.json('GET', '/v1/tasks')).toEqual({ data: [], next_cursor: null })
})

test('no key, a made-up key and a revoked key are refused', async () => {
  expect(await codeOf(await fetch(`${stack.url}/v1/tasks`))).toBe('401 UNAUTHORIZED')
  expect(await codeOf(await createClient(stack.url, 'rdev_sk_nonsense').fetch('GET', '/v1/tasks'))).toBe('401 UNAUTHORIZED')
  const { id, client } = await withKey(stack, { scopes: ['tasks:read'] })
  expect((await client.fetch('GET', '/v1/tasks')).status).toBe(200)
  await stack.client.json('DELETE', `/v1/keys/${id}`)
  await expect.poll(async () => codeOf(await client.fetch('GET', '/v1/tasks')), { timeout: 6_000 }).toBe('401 KEY_REVOKED')
})

test('a wrong body names its fields, and nothing is queued', async () => {
  const response = await stack.client.fetch('POST', '/v1/tasks', {
    body: { kind: 'agent', project_id: 'demo', prompt: ' ', timeout_s: 0, colour: 'red' },
  })
  expect(response.status).toBe(400)
  expect(response.headers.get('content-type')).toContain('application/problem+json')
  const problem = (await response.json()) as { code: string; errors: { pointer: string }[] }
  expect(problem.code).toBe('BAD_REQUEST')
  expect(problem.errors.map(({ pointer }) => pointer)).toEqual(expect.arrayContaining(['/timeout_s', '/colour']))
})

test('a body that is refused is answered before the connection ends, however large it is', async () => {
  const body = ' '.repeat(6_000_000)
  const json = { 'content-type': 'application/json' }
  const authorization = `Bearer ${stack.adminKey}`
  for (let i = 0; i < 5; i++) {
    const post = (path: string, headers: Record<string, string>) => fetch(stack.url + path, { method: 'POST', headers, body })
    expect(await codeOf(await post('/v1/tasks', { ...json, authorization }))).toBe('413 PAYLOAD_TOO_LARGE')
    expect(await codeOf(await post('/v1/tasks/batch', { ...json, authorization }))).toBe('413 PAYLOAD_TOO_LARGE')
    expect(await codeOf(await post('/v1/tasks', { 'content-type': 'text/plain', authorization }))).toBe('415 UNSUPPORTED_MEDIA_TYPE')
    expect(await codeOf(await post('/v1/tasks', json))).toBe('401 UNAUTHORIZED')
    expect(await codeOf(await post('/v1/nothing', json))).toBe('404 NOT_FOUND')
  }
})
