// Attempt directories over the shells of any pod host. A stream may be cut at any time, so only files decide: output is read again from the
// offset that was delivered, and every question is safe to repeat. A start knows its own repetition by the owner that it wrote.

import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import type { AttemptPresence, ExitRecord, PodAttempts, StopReason } from '@rdev/shared/domain/attempt'
import { parseAttemptName } from '@rdev/shared/domain/ids'
import type { AttemptDirectories, Log, PodHost, ProcessSpec, StartOutcome } from '../ports.ts'
import { follow, type Following } from './follow.ts'
import { noPayload, upload, uploadScript } from './payload.ts'
import { type Answer, createPodShells, Fatal, persist } from './pod-shells.ts'
import { runOnce } from './run-once.ts'
import type { Session } from './shell-session.ts'

/** How long a pod may be unreachable before a question to it fails. `follow` and `ended` go on until they are aborted. */
const reachMs = 60_000
const askMs = 15_000
const maxNoteBytes = 64 * 1024
/** Words of a line to the control shell, and lines of its answers, stay below what a pipe writes in one piece (PIPE_BUF, 4096 on Linux; POSIX write). */
const noteWord = 2_048

/** The pod has no such attempt: it was never started, was removed, or was lost with the pod's disk. */
export class AttemptGone extends Fatal {
  constructor(pod: string, name: string) {
    super(`pod ${pod} has no attempt ${name}`)
    this.name = 'AttemptGone'
  }
}

const exitRecord = z.object({
  exit_code: z.int(),
  stdout_bytes: z.int().min(0),
  stderr_bytes: z.int().min(0),
  started_at: z.int(),
  ended_at: z.int(),
  disk_full: z.boolean().default(false),
  reason: z.enum(['exited', 'cancelled', 'timeout', 'orphaned', 'stopped', 'supervisor_died', 'container_gone']),
})

const homeName = /^[0-9a-f-]{36}$/

const newToken = (): string => randomBytes(8).toString('hex')

export function createAttemptDirectories(host: PodHost, log: Log): AttemptDirectories & { close(): Promise<void> } {
  const shells = createPodShells(host, log, newToken)
  const closing = new AbortController()
  /** Spare shells that became followers at a start, until `follow` takes them. */
  const started = new Map<string, Session>()
  const ends = new Map<string, { readonly end: Promise<ExitRecord>; users: number; readonly stop: AbortController }>()

  const ask = (pod: string, words: readonly (string | number)[], boundMs = askMs): Promise<Answer> =>
    persist(reachMs, closing.signal, async () => (await shells.control(pod)).ask(words, boundMs))

  const waitForEnd = (pod: string, name: string, signal: AbortSignal): Promise<ExitRecord> =>
    persist(Infinity, signal, async () => {
      const control = await shells.control(pod)
      if (signal.aborted) throw new Fatal('the wait was aborted')
      const told = await control.ask(['wait', name])
      // A task can write this file too. What cannot be read counts as the word of a supervisor that died.
      return recordOf(pod, name, told) ?? recordOf(pod, name, await control.ask(['bury', name])) ?? unreadable(pod, name)
    })

  /** All callers that wait for one attempt share one question. Call `release` when the end is not needed any more. */
  const awaitEnd = (pod: string, name: string): { end: Promise<ExitRecord>; release(): void } => {
    const key = `${pod}/${name}`
    let entry = ends.get(key)
    if (!entry) {
      const stop = new AbortController()
      const end = waitForEnd(pod, name, AbortSignal.any([stop.signal, closing.signal]))
      const made = { end, users: 0, stop }
      const forget = (): void => {
        if (ends.get(key) === made) ends.delete(key)
      }
      end.then(forget, forget)
      ends.set(key, made)
      entry = made
    }
    const mine = entry
    mine.users++
    return {
      end: mine.end,
      release() {
        if (--mine.users > 0) return
        mine.stop.abort()
        if (ends.get(key) === mine) ends.delete(key)
      },
    }
  }

  const takeStarted = (pod: string, name: string): Session | undefined => {
    const key = `${pod}/${name}`
    const session = started.get(key)
    started.delete(key)
    return session?.open() ? session : undefined
  }

  async function start(pod: string, name: string, process: ProcessSpec, wanted?: AbortSignal): Promise<StartOutcome> {
    checkName(name)
    const signal = wanted ? AbortSignal.any([wanted, closing.signal]) : closing.signal
    const owner = newToken()
    const lock = process.lock ?? '-'
    if (!/^(-|[a-z0-9][a-z0-9._-]{0,199})$/.test(lock)) throw new RangeError('the name of the lock is not valid')
    const home = process.home ?? '-'
    if (home !== '-' && !homeName.test(home)) throw new RangeError('the id of the home is not valid')
    return persist<StartOutcome>(reachMs, signal, async () => {
      // Each try has a file of its own: an earlier try, whose shell was cut, may still be at work in the pod.
      const file = `${name}.${newToken()}`
      const alone = process.interrupt === 'main' ? interruptMain : ''
      const script = await uploadScript(shells, pod, `${file}.script`, alone + process.script)
      const stdin = process.stdin === '' ? noPayload : await upload(shells, pod, `${file}.stdin`, process.stdin)
      const session = await shells.spare(pod)
      if (signal.aborted) {
        session.destroy()
        throw new Fatal('the start was aborted')
      }
      // The folder is a word of a shell line, so one with special characters is left to the script.
      const folder = /^[\w./-]+$/.test(process.folder ?? '') ? process.folder : '-'
      const stdinWord = process.stdin === '' ? '-' : 'stdin'
      const words = [name, owner, file, Math.round(process.timeout_s * 1000), stdinWord, folder, lock, home, Date.now()]
      const lines = [...script.lines, ...stdin.lines, `rdev_start ${words.join(' ')}`]
      session.send(lines.join(' && '), script.payload + stdin.payload)
      const answer = await session.line()
      if (answer === 'started') {
        started.set(`${pod}/${name}`, session)
        return { outcome: 'started' }
      }
      session.destroy()
      if (answer === 'floor') return { outcome: 'floor' }
      if (answer === `exists ${owner}`) return { outcome: 'started' }
      if (answer.startsWith('exists')) return { outcome: 'exists' }
      // Another try, of this agent or another, may still be on its way. After `failed` or `busy` it must not start, so the pod refuses it.
      if ((await refuse(pod, name)) === 'there') return { outcome: 'exists' }
      if (answer === 'moved') {
        return { outcome: 'failed', detail: 'the pod has another home than the one that the start was for', moved: true }
      }
      if (answer.startsWith('busy ')) return { outcome: 'busy', holder: answer.slice(5) }
      return { outcome: 'failed', detail: answer.replace(/^failed /, '') }
    })
  }

  async function refuse(pod: string, name: string): Promise<'refused' | 'there'> {
    checkName(name)
    const { status } = await ask(pod, ['refuse', name])
    if (status !== 'ok' && status !== 'there') log('warn', 'floor could not be raised', { pod, attempt: name, status })
    return status === 'there' ? 'there' : 'refused'
  }

  const followName: AttemptDirectories['follow'] = (pod, name, from, signal) => {
    checkName(name)
    const following: Following = {
      first: takeFirst(takeStarted(pod, name), from),
      reopen: () => shells.fresh(pod),
      name,
      gone: () => new AttemptGone(pod, name),
      awaitEnd: () => awaitEnd(pod, name),
      signal: AbortSignal.any([signal, closing.signal]),
    }
    return follow(following, from)
  }

  async function ended(pod: string, name: string, signal: AbortSignal): Promise<ExitRecord | undefined> {
    checkName(name)
    if (signal.aborted) return undefined
    const { end, release } = awaitEnd(pod, name)
    let onAbort = (): void => {}
    const aborted = new Promise<undefined>((resolve) => {
      onAbort = () => resolve(undefined)
      signal.addEventListener('abort', onAbort)
      closing.signal.addEventListener('abort', onAbort)
    })
    try {
      return await Promise.race([end, aborted])
    } finally {
      signal.removeEventListener('abort', onAbort)
      closing.signal.removeEventListener('abort', onAbort)
      release()
    }
  }

  async function list(pod: string): Promise<PodAttempts> {
    const { data, rest } = await ask(pod, ['list'])
    const attempts = data.flatMap((line): AttemptPresence[] => {
      const [name = '', state = ''] = line.split(' ')
      const parsed = parseAttemptName(name)
      return parsed && (state === 'running' || state === 'exited' || state === 'broken') ? [{ ...parsed, pod, state }] : []
    })
    return { home: homeName.test(rest) ? rest : '-', attempts }
  }

  async function stop(pod: string, name: string, graceS: number, reason: StopReason): Promise<void> {
    checkName(name)
    const graceMs = Math.max(0, Math.round(graceS * 1000))
    await ask(pod, ['stop', name, graceMs, reason], graceMs + reachMs)
  }

  async function writeNote(pod: string, name: string, note: string, text: string): Promise<void> {
    checkName(name)
    checkNote(note)
    if (Buffer.byteLength(text) > maxNoteBytes) throw new RangeError(`a note is at most ${maxNoteBytes} bytes`)
    // Base 64 makes any text a few words of a shell line.
    const words =
      Buffer.from(text)
        .toString('base64')
        .match(new RegExp(`.{1,${noteWord}}`, 'g')) ?? []
    const { status } = await ask(pod, ['keep', name, note, ...words])
    if (status !== 'ok') throw new AttemptGone(pod, name)
  }

  async function readNote(pod: string, name: string, note: string): Promise<string | undefined> {
    checkName(name)
    checkNote(note)
    const { status, data } = await ask(pod, ['note', name, note])
    return status === 'ok' ? Buffer.from(data.join(''), 'base64').toString('utf8') : undefined
  }

  async function remove(pod: string, name: string): Promise<void> {
    checkName(name)
    takeStarted(pod, name)?.destroy()
    const { status } = await ask(pod, ['remove', name])
    if (status !== 'ok') throw new Fatal(`attempt ${name} of pod ${pod} cannot be removed: ${status}`)
  }

  return {
    start,
    follow: followName,
    ended,
    stop,
    list,
    readNote,
    writeNote,
    touch: async (pod) => void (await ask(pod, ['touch'])),
    refuse,
    remove,
    run: (pod, script, timeoutMs) => runOnce(shells, pod, newToken(), script, timeoutMs, closing.signal),
    async close() {
      closing.abort()
      shells.close()
      started.clear()
    },
  }
}

/** The supervisor's mark for `interrupt: main`; the script runs in the shell that has `r_dir`. */
const interruptMain = ': >"$r_dir/alone"\n'

/** The follower of a start reads from the beginning, so a caller that reads from elsewhere cannot use it. */
function takeFirst(session: Session | undefined, from: { stdout: number; stderr: number }): Session | undefined {
  if (session && (from.stdout !== 0 || from.stderr !== 0)) {
    session.destroy()
    return undefined
  }
  return session
}

/** Undefined: it is not an exit record. Throws AttemptGone. */
function recordOf(pod: string, name: string, answer: Answer): ExitRecord | undefined {
  if (answer.status === 'gone') throw new AttemptGone(pod, name)
  try {
    return exitRecord.parse(JSON.parse(answer.rest))
  } catch {
    return undefined
  }
}

function unreadable(pod: string, name: string): never {
  throw new Fatal(`the exit record of ${name} in pod ${pod} is not valid`)
}

/** Names become words of shell lines and parts of paths, so they are checked. Throws RangeError. */
function checkName(name: string): void {
  if (!parseAttemptName(name)) throw new RangeError('the name of the attempt is not valid')
}

function checkNote(note: string): void {
  if (!/^[a-z0-9][a-z0-9_-]{0,63}$/.test(note)) throw new RangeError('the name of the note is not valid')
}
