import type { Problem } from '@rdev/shared/api/problem'
import { expect, test } from 'vitest'
import { adminKey, setup as setupApi } from '../testing/setup.ts'
import { drainRest, maxDrainBytes } from './drain.ts'
import { maxBodyBytes } from './validation.ts'

const chunkBytes = 64 * 1024

/** A body of that size, which counts what was taken of it and whether it was given up. */
function bodyOf(bytes: number) {
  const taken = { bytes: 0, cancelled: false }
  const stream = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const size = Math.min(chunkBytes, bytes - taken.bytes)
        if (size === 0) return controller.close()
        taken.bytes += size
        controller.enqueue(new Uint8Array(size).fill(0x20))
      },
      cancel() {
        taken.cancelled = true
      },
    },
    { highWaterMark: 0 },
  )
  return { stream, taken }
}

async function setup() {
  const { app } = await setupApi()

  const post = async (path: string, bytes: number, headers: Readonly<Record<string, string>> = {}) => {
    const { stream, taken } = bodyOf(bytes)
    const init = { method: 'POST', body: stream, duplex: 'half', headers: { authorization: `Bearer ${adminKey}`, ...headers } }
    const response = await app.request(path, init as RequestInit)
    return { status: response.status, code: (await response.json<Problem>()).code, taken }
  }
  return { post }
}
const json = { 'content-type': 'application/json' }

test.each([
  ['too large by its length', '/v1/tasks', { ...json, 'content-length': '6000000' }, 413],
  ['too large by what came', '/v1/tasks', json, 413],
  ['no JSON', '/v1/tasks', { 'content-type': 'text/plain' }, 415],
  ['of nobody', '/v1/tasks', { ...json, authorization: '' }, 401],
  ['for nothing', '/v1/nothing', json, 404],
  ['for a path that takes none', '/v1/tasks/task_01kamyp4e0c9q2t5w8z1x4v7r3/cancel', json, 404],
])('a body that is %s is taken to its end before the answer', async (_, path, headers, status) => {
  const { post } = await setup()
  const answer = await post(path, 6_000_000, headers)
  expect([answer.status, answer.taken]).toEqual([status, { bytes: 6_000_000, cancelled: false }])
})

test('a body without an end is given up at a bound', async () => {
  const { post } = await setup()
  const { status, taken } = await post('/v1/tasks', Number.POSITIVE_INFINITY, json)
  expect([status, taken.cancelled]).toEqual([413, true])
  expect(taken.bytes).toBeLessThanOrEqual(maxBodyBytes + maxDrainBytes + 2 * chunkBytes)
})

test('a sender that stops sending is not waited for without a bound', async () => {
  const stalled = new ReadableStream<Uint8Array>({ pull: () => new Promise<void>(() => undefined) }, { highWaterMark: 0 })
  await drainRest({ body: stalled }, 5)
  const broken = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(new Error('gone')) })
  await drainRest({ body: broken })
  await drainRest({ body: null })
})
