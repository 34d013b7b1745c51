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
  let sizes: Sizes | undefined
  const complete = (): boolean =>
    record !== undefined &&
    at.stdout >= Math.min(record.stdout_bytes, sizes?.stdout ?? Infinity) &&
    at.stderr >= Math.min(record.stderr_bytes, sizes?.stderr ?? Infinity)

  try {
    for (let tries = 0; !complete() && !signal.aborted;) {
      if (failure instanceof Fatal) throw failure
      if (!session?.open()) {
        const opened = await openAt(following, at, record !== undefined).catch((cause: unknown) => {
          if (cause instanceof Fatal) throw cause
          return undefined
        })
        session = opened?.session
        sizes = opened?.sizes ?? sizes
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

interface Sizes {
  readonly stdout: number
  readonly stderr: number
}

/** Once the attempt has ended, the sizes of its files are final, and told: a task can write a record with others. */
async function openAt(
  following: Following,
  at: { stdout: number; stderr: number },
  ended: boolean,
): Promise<{ readonly session: Session; readonly sizes: Sizes | undefined }> {
  const session = await following.reopen()
  try {
    session.send(`rdev_open ${following.name} ${at.stdout} ${at.stderr}${ended ? ' sizes' : ''}`)
    const [word, stdout, stderr] = (await session.line()).split(' ')
    if (word === 'open') {
      const told = /^\d+$/.test(stdout ?? '') && /^\d+$/.test(stderr ?? '')
      return { session, sizes: told ? { stdout: Number(stdout), stderr: Number(stderr) } : undefined }
    }
  } catch (cause) {
    session.destroy()
    throw cause
  }
  session.destroy()
  throw following.gone()
}
