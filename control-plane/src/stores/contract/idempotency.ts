import { describe, expect, it } from 'vitest'
import type { Contract } from './setup.ts'

export function idempotencyContract(setup: () => Contract): void {
  const one = { caller: 'key_a', route: 'POST /v1/tasks', key: 'abc' }
  const asked = (more: object = {}) => ({
    ...one,
    body_hash: 'hash',
    seed: crypto.getRandomValues(new Uint8Array(32)),
    takeOverMs: 60_000,
    keepMs: 86_400_000,
    ...more,
  })
  const answer = { status: 202, location: '/v1/tasks/task_1', body: '{"id":"task_1","naïve":"🙂"}' }

  describe('idempotency', () => {
    it('lets one request handle it, and gives the others its answer', async () => {
      const { idempotency } = setup()
      const request = asked()
      const before = Date.now()
      const mine = await idempotency.begin(request)
      expect(mine).toMatchObject({ state: 'mine', seed: request.seed })
      if (mine.state === 'mine') expect(Math.abs(mine.at - before)).toBeLessThan(5_000)
      expect(await idempotency.begin(asked())).toEqual({ state: 'busy' })
      expect(await idempotency.begin(asked({ body_hash: 'another' }))).toEqual({ state: 'mismatch' })
      await idempotency.finish(one, answer)
      expect(await idempotency.begin(asked())).toEqual({ state: 'done', answer })
      expect(await idempotency.begin(asked({ body_hash: 'another' }))).toEqual({ state: 'mismatch' })
      // The first answer stays.
      await idempotency.finish(one, { ...answer, status: 500 })
      await idempotency.finish(one, null)
      expect(await idempotency.begin(asked())).toEqual({ state: 'done', answer })
    })

    it('keeps callers, routes and keys apart', async () => {
      const { idempotency } = setup()
      for (const other of [{}, { caller: 'key_b' }, { route: 'POST /v1/keys' }, { key: 'abd' }]) {
        expect(await idempotency.begin(asked(other))).toMatchObject({ state: 'mine' })
      }
      await idempotency.finish({ ...one, key: 'abd' }, { ...answer, location: null })
      expect(await idempotency.begin(asked({ key: 'abd' }))).toEqual({ state: 'done', answer: { ...answer, location: null } })
      expect(await idempotency.begin(asked())).toEqual({ state: 'busy' })
    })

    it('is free again when it was refused', async () => {
      const { idempotency } = setup()
      await idempotency.begin(asked())
      await idempotency.finish(one, null)
      const next = asked({ body_hash: 'another' })
      expect(await idempotency.begin(next)).toMatchObject({ state: 'mine', seed: next.seed })
    })

    it('is taken over from a request that died, with the same seed and time', async () => {
      const { idempotency } = setup()
      const first = await idempotency.begin(asked())
      expect(await idempotency.begin(asked({ body_hash: 'another', takeOverMs: 0 }))).toEqual({ state: 'mismatch' })
      expect(await idempotency.begin(asked({ takeOverMs: 0 }))).toEqual(first)
      expect(await idempotency.begin(asked())).toEqual({ state: 'busy' })
      await idempotency.finish(one, answer)
      expect(await idempotency.begin(asked({ takeOverMs: 0 }))).toEqual({ state: 'done', answer })
    })

    it('is deleted after its time, finished or not', async () => {
      const { idempotency } = setup()
      await idempotency.begin(asked({ keepMs: 0 }))
      const next = asked({ body_hash: 'another', keepMs: 0 })
      expect(await idempotency.begin(next)).toMatchObject({ state: 'mine', seed: next.seed })
      await idempotency.finish(one, answer)
      const last = asked()
      expect(await idempotency.begin(last)).toMatchObject({ state: 'mine', seed: last.seed })
      expect(await idempotency.begin(asked())).toEqual({ state: 'busy' })
    })

    it('of 50 at once one handles it', async () => {
      const { idempotency } = setup()
      const states = await Promise.all(Array.from({ length: 50 }, () => idempotency.begin(asked())))
      expect(states.filter(({ state }) => state === 'mine')).toHaveLength(1)
      expect(states.filter(({ state }) => state === 'busy')).toHaveLength(49)
    })

    it('a takeover gets the same seed and time, also of 50 at once', async () => {
      const { idempotency } = setup()
      const first = await idempotency.begin(asked())
      const all = await Promise.all(Array.from({ length: 50 }, () => idempotency.begin(asked({ takeOverMs: 0 }))))
      const mine = all.filter(({ state }) => state !== 'busy')
      expect(mine.length).toBeGreaterThan(0)
      for (const one of mine) expect(one).toEqual(first)
    })
  })
}
