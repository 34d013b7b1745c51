// The shells of the pods: each pod has one control shell, which all questions share, and one spare shell, on which the next attempt starts.
// Both are opened at the first use of a pod; the next spare soon after one was taken. A shell that does not open is tried again with full
// jitter (AWS Architecture Blog, "Exponential Backoff and Jitter").

import { setTimeout as pause } from 'node:timers/promises'
import { fullJitter } from '@rdev/shared/domain/backoff'
import type { Log, PodHost } from '../ports.ts'
import type { Part } from './library.ts'
import { openSession, ShellCut, type Session } from './shell-session.ts'

const backoffBaseMs = 200
const backoffCapMs = 5_000
/** After so many failed tries no spare is opened before the pod is used again. */
const spareTries = 5

/** How long after a spare was taken the next one is opened. */
const rewarmAfterMs = 30

/** Enough for a list of many attempts, or a note. */
const maxDataLines = 10_000
const maxLineBytes = 64 * 1024
/** While a question waits without a bound, the control shell is pinged this often, since a half-open stream would keep it waiting for ever. */
const pingEveryMs = 15_000
const pingBoundMs = 10_000

export interface Answer {
  readonly status: string
  readonly rest: string
  /** The data lines before the answer. */
  readonly data: readonly string[]
}

/** A pod's control shell: each question gets an answer, or rejects with ShellCut. */
export interface Control {
  open(): boolean
  /**
   * `words` are names and numbers, nothing that a shell would expand. Rejects with ShellCut if the shell is cut, or silent for `boundMs`; without
   * a bound it waits until the shell is cut.
   */
  ask(words: readonly (string | number)[], boundMs?: number): Promise<Answer>
  destroy(): void
}

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

  const opened = async (pod: string, part: Part): Promise<Session> => {
    if (closing.signal.aborted) throw new ShellCut(pod, 'closed')
    const session = await openSession(host, pod, part)
    if (closing.signal.aborted) {
      session.destroy()
      throw new ShellCut(pod, 'closed')
    }
    ours.add(session)
    void session.shell.closed.then(() => ours.delete(session))
    return session
  }

  const fresh = (pod: string): Promise<Session> => opened(pod, 'start')

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
      const session = await opened(pod, 'control')
      try {
        const control = await openControl(session)
        void session.shell.closed.then(forget)
        // Only after the control shell is open, because it removes what dead spares left behind.
        rewarm(pod)
        return control
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

interface Question {
  readonly data: string[]
  readonly resolve: (answer: Answer) => void
  readonly reject: (cause: ShellCut) => void
}

/** Makes a fresh shell the control shell: one stream for many questions at once. */
async function openControl(session: Session): Promise<Control> {
  session.send('rdev_control')
  await session.line()
  const questions = new Map<string, Question>()
  let next = 1
  let patient = 0
  let ping: NodeJS.Timeout | undefined

  const hear = (line: string): void => {
    const [, id, status, rest] = /^(\d+) (\S+) ?(.*)$/s.exec(line) ?? []
    const question = id === undefined ? undefined : questions.get(id)
    if (id === undefined || status === undefined || rest === undefined || !question) return
    if (status !== '=') {
      questions.delete(id)
      question.resolve({ status, rest, data: question.data })
    } else if (question.data.length < maxDataLines) question.data.push(rest)
  }

  const cut = (what: string): void => {
    clearTimeout(ping)
    session.destroy()
    for (const question of questions.values()) question.reject(new ShellCut(session.pod, what))
    questions.clear()
  }

  const listen = async (): Promise<void> => {
    let rest: Buffer = Buffer.alloc(0)
    while (session.open()) {
      const chunk: Buffer | null = session.shell.stdout.read()
      if (!chunk) {
        // Its stderr has only messages of tools. They are read and dropped: a full pipe would stop the shell.
        session.shell.stderr.read()
        if (session.shell.stdout.readableEnded) break
        await session.signal.wait()
        continue
      }
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      let end = rest.indexOf(10)
      let start = 0
      for (; end >= 0; end = rest.indexOf(10, start)) {
        hear(rest.toString('utf8', start, end))
        start = end + 1
      }
      rest = rest.subarray(start)
      if (rest.length > maxLineBytes) break
    }
    cut('cut')
  }
  void listen()

  const ask = (words: readonly (string | number)[], boundMs?: number): Promise<Answer> => {
    if (!session.open()) return Promise.reject(new ShellCut(session.pod, 'cut'))
    const id = String(next++)
    const answer = new Promise<Answer>((resolve, reject) => questions.set(id, { data: [], resolve, reject }))
    session.shell.stdin.write(`${id} ${words.join(' ')}\n`)
    if (boundMs === undefined) {
      patient++
      keepAlive()
      return answer.finally(() => patient--)
    }
    const timer = setTimeout(() => cut(`silent for ${boundMs} ms`), boundMs)
    return answer.finally(() => clearTimeout(timer))
  }

  const keepAlive = (): void => {
    ping ??= setTimeout(() => {
      ping = undefined
      if (patient === 0 || !session.open()) return
      ask(['touch'], pingBoundMs).then(keepAlive, () => {})
    }, pingEveryMs)
  }

  return { open: session.open, ask, destroy: () => cut('closed') }
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
