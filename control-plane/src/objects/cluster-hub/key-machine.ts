// The key of the agent's connection. It is judged at the door, and again while the socket is open: when the agent says something, at each sweep,
// and when the queue is inspected. Each claim is judged in its own statement. So an idle hub asks nothing, and a key that was revoked gets no
// task from that moment on, and loses its socket within 60 s of being used. The agent's own word is no reason to wait: what the database does
// not answer is asked again.

import { judgeAgainMs, judgeKeyEveryMs } from '@rdev/shared/domain/limits'
import type { Draft } from './draft.ts'
import type { HubInput } from './state.ts'

/** Whether the connection's key has ended by itself, which needs no question. */
export function hasKeyEnded({ connection }: Draft, now: number): boolean {
  const expiresAt = connection?.key.expires_at ?? null
  return expiresAt !== null && expiresAt <= now
}

/** A key that was judged so long ago gets nothing new before it is judged again. */
export const newThingsMs = 5_000

export function judgeKey(d: Draft, now: number, everyMs: number = judgeKeyEveryMs): void {
  const { connection } = d
  if (connection === null || connection.judging || now - connection.judgedAt < everyMs) return
  d.connection = { ...connection, judging: true }
  d.effects.push({ type: 'judge_key', connection: connection.id, key_id: connection.key.id })
}

/** Takes the answer. False: the key is refused, and its connection must be closed. */
export function keyJudged(d: Draft, { connection: id, valid }: Extract<HubInput, { type: 'key_judged' }>, now: number): boolean {
  const { connection } = d
  if (connection?.id !== id) return true
  const judgedAt = valid === null ? now - judgeKeyEveryMs + judgeAgainMs : now
  d.connection = { ...connection, judging: false, judgedAt }
  return valid !== false
}

/** The lines of what runs here were opened with the same key, or with an older one of the cluster. */
export function closeLines(d: Draft, keyId: string): void {
  const tasks = [...d.live.values()].filter(({ phase }) => phase !== 'done').map(({ task }) => task)
  if (tasks.length > 0) d.effects.push({ type: 'close_lines', key_id: keyId, tasks })
}
