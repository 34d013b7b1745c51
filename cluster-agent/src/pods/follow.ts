// Follows the two output files of an attempt. When a follower shell is cut, or delivers less than the sizes of the exit record, another one is
// opened at the offsets that were delivered. At most one chunk per stream is held: a caller that does not iterate stops the reading.

import { setTimeout as pause } from 'node:timers/promises'
import { fullJitter } from '@rdev/shared/domain/backoff'
import type { ExitRecord } from '@rdev/shared/domain/attempt'
import type { Chunk } from '../ports.ts'
import { Fatal } from './pod-shells.ts'
import type { Session } from './shell-session.ts'

/** After the end, how long the follower may be silent while bytes are missing, before another one is opened. */
const lateMs = 5_000

export interface Following {
  readonly name: string
  /** A shell that already follows from the beginning. */
  readonly first: Session | undefined
  reopen(): Promise<Session>
  gone(): Error
  awaitEnd(): { readonly end: Promise<ExitRecord>; release(): void }
  readonly signal: AbortSignal
}

export async function* follow(following: Following, from: { stdout: number; stderr: number }): AsyncGenerator<Chunk, void, undefined> {
  const { signal } = following
  const at = { stdout: from.stdout, stderr: from.stderr }
  let record: ExitRecord | undefined
  let failure: unknown
  let session = following.first
  const wake = (): void => session?.signal.ring()
  const { end, release } = following.awaitEnd()
  end.then(
    (ended) => {
      record = ended
      wake()
    },
    (cause: unknown) => {
      failure = cause
      wake()
    },
  )
  signal.addEventListener('abort', wake)
  const complete = (): boolean => record !== undefined && at.stdout >= record.stdout_bytes && at.stderr >= record.stderr_bytes

  try {
    for (let tries = 0; !complete() && !signal.aborted;) {
      if (failure instanceof Fatal) throw failure
      if (!session?.open()) {
        session = await openAt(following, at).catch((cause: unknown) => {
          if (cause instanceof Fatal) throw cause
          return undefined
        })
        if (!session) {
          await pause(fullJitter(tries++, Math.random(), 100, 5_000), undefined, { signal }).catch(() => {})
          continue
        }
      }
      let any = false
      for (const stream of ['stdout', 'stderr'] as const) {
        const bytes: Buffer | null = session.shell[stream].read()
        if (!bytes) continue
        any = true
        tries = 0
        const offset = at[stream]
        at[stream] += bytes.length
        yield { stream, offset, bytes }
      }
      // A wait without a bound is safe: the signal is given for bytes, for a cut, for the exit record and for an abort.
      if (!any && !complete() && !signal.aborted && session.open()) {
        const rung = await session.signal.wait(record ? lateMs : undefined)
        if (!rung) session.destroy()
      }
    }
  } finally {
    signal.removeEventListener('abort', wake)
    release()
    session?.destroy()
  }
}

async function openAt(following: Following, at: { stdout: number; stderr: number }): Promise<Session> {
  const session = await following.reopen()
  try {
    session.send(`rdev_open ${following.name} ${at.stdout} ${at.stderr}`)
    if ((await session.line()) === 'open') return session
  } catch (cause) {
    session.destroy()
    throw cause
  }
  session.destroy()
  throw following.gone()
}
