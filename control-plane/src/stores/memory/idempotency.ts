import type { Clock } from '../../ports/clock.ts'
import type { IdempotencyStore, StoredAnswer } from '../../ports/idempotency-store.ts'

interface Row {
  readonly body_hash: string
  readonly seed: Uint8Array
  readonly begun_at: number
  readonly held_at: number
  readonly expires_at: number
  readonly answer: StoredAnswer | null
}

export function memoryIdempotency(clock: Clock): IdempotencyStore {
  const rows = new Map<string, Row>()
  const nameOf = ({ caller, route, key }: { caller: string; route: string; key: string }) => JSON.stringify([caller, route, key])
  return {
    async begin(request) {
      const now = clock.now()
      for (const [name, row] of rows) if (row.expires_at <= now) rows.delete(name)
      const before = rows.get(nameOf(request))
      if (before && before.body_hash !== request.body_hash) return { state: 'mismatch' }
      if (before?.answer) return { state: 'done', answer: before.answer }
      if (before && now < before.held_at + request.takeOverMs) return { state: 'busy' }
      const { body_hash, seed } = request
      const fresh = { body_hash, seed: Uint8Array.from(seed), begun_at: now, expires_at: now + request.keepMs, answer: null }
      const mine = { ...(before ?? fresh), held_at: now }
      rows.set(nameOf(request), mine)
      return { state: 'mine', seed: mine.seed, at: mine.begun_at }
    },

    async finish(request, answer) {
      const name = nameOf(request)
      const row = rows.get(name)
      if (!row || row.answer) return
      if (answer === null) rows.delete(name)
      else rows.set(name, { ...row, answer: { ...answer } })
    },
  }
}
