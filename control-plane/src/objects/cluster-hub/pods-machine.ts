// Finds queued tasks that are bound to a pod by their conversation when that pod is gone for good. A pod that restarts under its name is
// missing for a short time only. So a pod counts as gone when an agent has been welcomed, and the pod missing, for missingPodMs without a break.

import { podOf, write, type Draft } from './draft.ts'
import { missingPodMs, missingPodsEveryMs } from './state.ts'

const isGone = (d: Draft, name: string, now: number) =>
  d.ready && d.welcomedAt !== null && podOf(d, name) === undefined && now - Math.max(d.welcomedAt, d.wentAt.get(name) ?? 0) >= missingPodMs

/** Names of the present pods: tasks that are bound to any other pod are looked for. Null: it is not time to look. */
export function podsToLookBeside(d: Draft, now: number): readonly string[] | null {
  if (!d.ready || d.connection === null || d.connection.draining) return null
  if (d.welcomedAt === null || now - d.welcomedAt < missingPodMs) return null
  if (d.missingPodsAt !== null && now - d.missingPodsAt < missingPodsEveryMs) return null
  return d.pods.map(({ name }) => name)
}

export function foundMissingPods(d: Draft, names: readonly string[] | null, now: number): void {
  if (names === null) return
  d.missingPodsAt = now
  const pods = names.filter((name) => isGone(d, name, now))
  const busy = [...d.writes.values()].some((pending) => pending.write.kind === 'fail_missing_pods')
  if (pods.length > 0 && !busy) write(d, { kind: 'fail_missing_pods', pods })
}
