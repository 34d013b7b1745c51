// Follows the output of an attempt in a model pod, as cluster-agent/src/pods/follow.ts does: a cut follower is opened again at the offsets that
// were delivered. Output is read a moment later, in chunks of random size.

import type { ExitRecord } from '@rdev/shared/domain/attempt'
import type { Chunk } from '../../cluster-agent/src/ports.ts'
import type { AttemptDirectory } from '../pods/attempt-directory.ts'
import type { SimPod } from '../pods/pod.ts'
import type { Kernel, Life } from '../world/kernel.ts'

export interface Opened {
  readonly at: SimPod
  /** Undefined: the pod has no such attempt. */
  readonly directory: AttemptDirectory | undefined
}

export interface Following {
  readonly kernel: Kernel
  /** Ends when the following ends. */
  readonly life: Life
  readonly signal: AbortSignal
  open(): Promise<Opened>
  gone(): Error
  awaitEnd(): { readonly end: Promise<ExitRecord>; release(): void }
}

export async function* follow(following: Following, from: { stdout: number; stderr: number }): AsyncGenerator<Chunk, void, undefined> {
  const { kernel, life, signal } = following
  const { random } = kernel
  const at = { stdout: from.stdout, stderr: from.stderr }
  let record: ExitRecord | undefined
  let failure: unknown
  let directory: AttemptDirectory | undefined
  let close = (): void => {}
  let rung = false
  let wake = (): void => {}
  const ring = () => {
    rung = true
    wake()
  }
  /** The agent learns a moment later what happened in the pod. */
  let looking = false
  const look = () => {
    if (looking) return
    looking = true
    kernel.after(random.int(1, 5), life, () => {
      looking = false
      kernel.touched()
      ring()
    })
  }
  const { end, release } = following.awaitEnd()
  end.then(
    (ended) => {
      record = ended
      ring()
    },
    (cause: unknown) => {
      failure = cause
      ring()
    },
  )
  signal.addEventListener('abort', ring)

  try {
    for (let tries = 0; !signal.aborted;) {
      if (failure !== undefined) throw failure
      if (record !== undefined && at.stdout >= record.stdout_bytes && at.stderr >= record.stderr_bytes) return
      if (directory === undefined) {
        const opened = await following.open().catch(() => undefined)
        if (opened === undefined) {
          await kernel.pause(Math.min(5_000, 50 * 2 ** tries++), life)
          continue
        }
        if (opened.directory === undefined) throw following.gone()
        directory = opened.directory
        const unwatch = directory.watch(look)
        const uncut = opened.at.onCut(() => {
          close()
          directory = undefined
          look()
        })
        close = () => {
          unwatch()
          uncut()
        }
        if (signal.aborted) return
      }
      let any = false
      for (const stream of ['stdout', 'stderr'] as const) {
        const there: number = (directory?.[stream].length ?? 0) - at[stream]
        if (there <= 0) continue
        any = true
        tries = 0
        const count = random.maybe(0.7) ? there : random.int(1, there)
        const offset = at[stream]
        at[stream] += count
        const bytes = Buffer.from(directory![stream].slice(offset, offset + count), 'latin1')
        yield { stream, offset, bytes }
        if (signal.aborted) return
      }
      // The rest is read a moment later.
      if (any) look()
      if (!rung) await new Promise<void>((resolve) => (wake = resolve))
      rung = false
    }
  } finally {
    close()
    signal.removeEventListener('abort', ring)
    release()
    life.die()
  }
}
