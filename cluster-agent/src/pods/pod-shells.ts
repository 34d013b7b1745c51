// The shells of the pods: each pod has one control shell, which all questions share, and one spare shell, on which the next attempt starts.
// Both are opened at the first use of a pod; the next spare soon after one was taken. A shell that does not open is tried again with full
// jitter (AWS Architecture Blog, "Exponential Backoff and Jitter").

import { setTimeout as pause } from 'node:timers/promises'
import { fullJitter } from '@rdev/shared/domain/backoff'
import type { Log, PodHost } from '../ports.ts'
import { openControl, type Control } from './control.ts'
import { openSession, ShellCut, type Session } from './shell-session.ts'

const backoffBaseMs = 200
const backoffCapMs = 5_000
/** After so many failed tries no spare is opened before the pod is used again. */
const spareTries = 5

/** How long after a spare was taken the next one is opened. */
const rewarmAfterMs = 30

/** Every shell rejects with ShellCut if it cannot be opened, or with the pod host's own error. */
export interface PodShells {
  /** The pod's control shell, opened if there is none. */
  control(pod: string): Promise<Control>
  /** A shell with a supervisor that waits for its orders. The caller owns it and must destroy it. */
  spare(pod: string): Promise<Session>
  /** A new shell for any other use. The caller must destroy it. */
  fresh(pod: string): Promise<Session>
  close(): void
}

interface Shells {
  control?: Promise<Control> | undefined
  spare?: Promise<Session> | undefined
}

export function createPodShells(host: PodHost, log: Log, newToken: () => string): PodShells {
  const pods = new Map<string, Shells>()
  const ours = new Set<Session>()
  const closing = new AbortController()

  const shellsOf = (pod: string): Shells => {
    const known = pods.get(pod)
    if (known) return known
    const shells: Shells = {}
    pods.set(pod, shells)
    return shells
  }

  const fresh = async (pod: string): Promise<Session> => {
    if (closing.signal.aborted) throw new ShellCut(pod, 'closed')
    const session = await openSession(host, pod)
    if (closing.signal.aborted) {
      session.destroy()
      throw new ShellCut(pod, 'closed')
    }
    ours.add(session)
    void session.shell.closed.then(() => ours.delete(session))
    return session
  }

  const warm = async (pod: string): Promise<Session> => {
    const session = await fresh(pod)
    session.send(`rdev_warm ${newToken()}`)
    if ((await session.line()) === 'warm') return session
    session.destroy()
    throw new ShellCut(pod, 'cannot keep a supervisor ready')
  }

  /** Opens the next spare if there is none, in the background. */
  const rewarm = (pod: string): void => {
    const shells = shellsOf(pod)
    if (shells.spare || closing.signal.aborted) return
    const spare = (async () => {
      for (let tries = 0; ; tries++) {
        try {
          return await warm(pod)
        } catch (cause) {
          if (tries + 1 >= spareTries || closing.signal.aborted) throw cause
          log('warn', 'spare shell did not open', { pod, error: String(cause) })
          await pause(fullJitter(tries, Math.random(), backoffBaseMs, backoffCapMs), undefined, { signal: closing.signal })
        }
      }
    })()
    shells.spare = spare
    const forget = (): void => {
      if (shells.spare === spare) shells.spare = undefined
    }
    // A spare that is cut while it waits is replaced only at the next use of the pod: a pod that is gone would be tried for ever.
    spare.then((session) => session.shell.closed.then(forget), forget)
  }

  const spare = async (pod: string): Promise<Session> => {
    const shells = shellsOf(pod)
    const waiting = shells.spare
    shells.spare = undefined
    const session = await waiting?.catch(() => undefined)
    const taken = session?.open() ? session : await warm(pod)
    // The next spare is opened a little later: opening a shell takes processor time from the start that this one was taken for.
    setTimeout(rewarm, rewarmAfterMs, pod).unref()
    return taken
  }

  const control = (pod: string): Promise<Control> => {
    const shells = shellsOf(pod)
    if (shells.control) return shells.control
    const forget = (): void => {
      if (shells.control === opening) shells.control = undefined
    }
    const opening: Promise<Control> = (async () => {
      const session = await fresh(pod)
      try {
        const opened = await openControl(session)
        void session.shell.closed.then(forget)
        // Only after the control shell is open, because it removes what dead spares left behind.
        rewarm(pod)
        return opened
      } catch (cause) {
        session.destroy()
        throw cause
      }
    })()
    shells.control = opening
    opening.catch(forget)
    return opening
  }

  return {
    control,
    spare,
    fresh,
    close() {
      closing.abort()
      for (const session of ours) session.destroy()
      ours.clear()
      pods.clear()
    },
  }
}

/** Calls `work` until it succeeds, with full jitter between the tries. Throws the last error after `forMs`, on abort, or if it is Fatal. */
export async function persist<T>(forMs: number, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + forMs
  for (let tries = 0; ; tries++) {
    const began = performance.now()
    try {
      return await work()
    } catch (cause) {
      if (cause instanceof Fatal || signal.aborted || performance.now() > deadline) throw cause
      // Work that went well for a while and then failed is tried again at once.
      if (performance.now() - began > backoffCapMs) tries = 0
      if (tries > 0) await pause(fullJitter(tries - 1, Math.random(), backoffBaseMs, backoffCapMs), undefined, { signal }).catch(() => {})
    }
  }
}

/** An error that another try does not help: the pod has answered, or the caller has aborted. */
export class Fatal extends Error {}
