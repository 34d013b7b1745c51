import { env, exports } from 'cloudflare:workers'
import { expect, test } from 'vitest'
import { world } from '../testing/worker.ts'

test('hello', async () => {
  const page = await env.TASK_LOG.getByName('x').page(0, 10)
  expect(page).toEqual({ body: '', finished: false })
  await env.CLUSTER_HUB.getByName('x').poke()
  await expect.poll(() => world.calls).toContain('nextDue')
  expect((await exports.default.fetch('http://x/health')).status).toBe(200)
})
