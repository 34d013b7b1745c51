// Tasks that are bound to a pod by their conversation, when that pod is gone for good. A pod that restarts under its name is away for a
// moment only, so it must have been missing for missingPodMs without a break, while an agent was there to tell.

import { podOf, write, type Draft } from './draft.ts'
import { missingPodMs, missingPodsEveryMs } from './state.ts'

const isGone = (d: Draft, name: string, now: number) =>
  d.ready && d.welcomedAt !== null && podOf(d, name) === undefined && now - Math.max(d.welcomedAt, d.wentAt.get(name) ?? 0) >= missingPodMs

/** The names to compare with, if it is time to look; null: not now. */
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
