// What Postgres can hold, decided in one place for both sides. Text may have no NUL and must be well-formed Unicode; agents and processes
// say both, so such characters are replaced on the way in (the task's log keeps them). A name looked up with one in it cannot exist.
import type { TaskOutcome } from '@rdev/shared/domain/task'

export const storable = (text: string): string => text.toWellFormed().replaceAll('\u0000', '\ufffd')
export const storableOrNull = (text: string | null): string | null => (text === null ? null : storable(text))
export const isStorable = (text: string): boolean => !text.includes('\u0000') && text.isWellFormed()

const clamp = (value: number, min: number, max: number) => Math.min(max, Math.max(min, value))

/** An outcome comes from a cluster: a number out of all proportion must not make the row unwritable, and so the task endless. */
export function storableOutcome(end: TaskOutcome, now: number): TaskOutcome {
  return {
    ...end,
    exit_code: end.exit_code === null ? null : clamp(Math.trunc(end.exit_code), -(2 ** 31), 2 ** 31 - 1),
    duration_ms: end.duration_ms === null ? null : Math.round(clamp(end.duration_ms, 0, now)),
    result: storableOrNull(end.result),
    error: storableOrNull(end.error),
    provider_session_id: storableOrNull(end.provider_session_id),
  }
}
