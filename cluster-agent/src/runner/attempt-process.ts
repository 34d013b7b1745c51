// What an attempt asks of its pod: to start its process, to tell its end, to stop it, to remove its directory. A pod that cannot be asked
// proves nothing, so it is asked again until it answers or the attempt is over. The pod's guards make repeating safe; giving the task to
// another pod would not be.

import type { AttemptRef, ExitRecord, RejectReason, StopReason } from '@rdev/shared/domain/attempt'
import { fullJitter } from '@rdev/shared/domain/backoff'
import { pause } from '../drive.ts'
import type { AttemptDirectories, HubReports, Log, ProcessSpec, StartOutcome, Timers } from '../ports.ts'
import type { AttemptInput } from './attempt-run-machine.ts'

const removeTries = 5
/** How long a pod that answers may fail to start a process before it is asked to refuse the attempt. */
export const startBoundMs = 120_000

/** Thrown to a code agent whose process must not run. What the code agent answers then is not used. */
export class RejectedStart extends Error {
  constructor() {
    super('this attempt must not be started here')
    this.name = 'RejectedStart'
  }
}

export interface AttemptProcessDeps {
  readonly directories: AttemptDirectories
  readonly hub: Pick<HubReports, 'hello'>
  readonly timers: Timers
  readonly log: Log
}

export interface AttemptInPod {
  readonly name: string
  readonly ref: AttemptRef
  readonly pod: string
}

export class AttemptProcess {
  readonly #deps: AttemptProcessDeps
  readonly #at: AttemptInPod
  readonly #step: (input: AttemptInput) => void
  readonly #over = new AbortController()
  readonly #record = Promise.withResolvers<ExitRecord>()
  /** The process is known to have started: if its directory is missing then, the attempt is lost. */
  #started = false

  /** The pod's answers become steps of the attempt's machine. */
  constructor(deps: AttemptProcessDeps, at: AttemptInPod, step: (input: AttemptInput) => void) {
    this.#deps = deps
    this.#at = at
    this.#step = step
  }

  /** Resolves with the exit record when this agent knows it. */
  get record(): Promise<ExitRecord> {
    return this.#record.promise
  }

  /** Throws RejectedStart if the process must not run. */
  async start(spec: ProcessSpec): Promise<void> {
    const { pod, name } = this.#at
    const bound = this.#startBound()
    const started = await this.#until('start', () => this.#deps.directories.start(pod, name, spec, this.#over.signal).catch(bound))
    if (!started) throw new RejectedStart()
    if (started.outcome === 'started' || started.outcome === 'exists') return this.#step({ type: 'started' })
    this.#step({ type: 'rejected', ...refusalOf(started) })
    // A task can remove the home's name. Whatever the pod's home is now, nothing starts there before it is known.
    if (started.outcome === 'failed' && started.moved) this.#deps.hub.hello()
    throw new RejectedStart()
  }

  /**
   * What to do about a start that threw. A pod that answers but starts nothing for `startBoundMs` is asked to refuse the attempt, so that the task
   * does not wait for it until its time limit. Time in which the pod does not answer does not count: it may start the attempt when it is back.
   */
  #startBound(): (cause: unknown) => Promise<StartOutcome> {
    const { directories, timers } = this.#deps
    const { pod, name } = this.#at
    let since = timers.now()
    return async (cause) => {
      const answers =
        this.#over.signal.aborted ||
        (await directories.touch(pod).then(
          () => true,
          () => false,
        ))
      if (!answers) since = timers.now()
      if (this.#over.signal.aborted || timers.now() - since < startBoundMs) throw cause
      if ((await directories.refuse(pod, name)) === 'there') return { outcome: 'exists' }
      return { outcome: 'failed', detail: `the pod answers, but started no process for ${startBoundMs / 1000} s: ${messageOf(cause)}` }
    }
  }

  /** Waits for the end of a process that was started. */
  watchEnd(): void {
    this.#started = true
    const { pod, name } = this.#at
    const { signal } = this.#over
    void this.#until('watch', () => this.#deps.directories.ended(pod, name, signal)).then((record) => {
      if (!record) return
      this.#record.resolve(record)
      this.#step({ type: 'exited', record })
    })
  }

  async stop(graceS: number, reason: StopReason): Promise<void> {
    const { pod, name } = this.#at
    const done = await this.#until('stop', () => this.#deps.directories.stop(pod, name, graceS, reason).then(() => true))
    if (done) this.#step({ type: 'emptied' })
  }

  /** Asks the pod until it answers. */
  async reach(): Promise<void> {
    const done = await this.#until('reach', () => this.#deps.directories.touch(this.#at.pod).then(() => true))
    if (done) this.#step({ type: 'reached' })
  }

  /** Removes the directory, after the log holds the result. Works also after `over`. Never rejects. */
  async remove(): Promise<void> {
    const { directories, log, timers } = this.#deps
    const { pod, name, ref } = this.#at
    for (let tries = 0; tries < removeTries; tries++) {
      try {
        return await directories.remove(pod, name)
      } catch {
        await pause(timers, fullJitter(tries, timers.random(), 500, 10_000))
      }
    }
    // The next hello lists it, and the hub's welcome asks for it to be stopped.
    log('warn', 'attempt directory could not be removed', { ...ref, pod })
  }

  /** Stops asking the pod. */
  over(): void {
    this.#over.abort()
  }

  /** Repeats a call that throws, with full jitter, until the attempt is over; undefined then. */
  async #until<Result>(what: string, ask: () => Promise<Result>): Promise<Result | undefined> {
    const { timers, log } = this.#deps
    const { ref, pod } = this.#at
    for (let tries = 0; !this.#over.signal.aborted; tries++) {
      try {
        return await ask()
      } catch (error) {
        if (this.#over.signal.aborted) return undefined
        // The pod answers that it has no directory of a started attempt: the attempt is as lost as if the pod were gone.
        if (error instanceof Error && error.name === 'AttemptGone' && this.#started) {
          await this.#raiseFloor()
          this.#step({ type: 'pod_gone' })
          return undefined
        }
        log('warn', 'pod could not be asked', { ...ref, pod, what, message: messageOf(error), tries })
        await pause(timers, 50 + fullJitter(tries, timers.random(), 200, 5_000))
      }
    }
    return undefined
  }

  /** An attempt that is given up here must not start later. */
  async #raiseFloor(): Promise<void> {
    const { pod, name, ref } = this.#at
    try {
      await this.#deps.directories.remove(pod, name)
    } catch {
      this.#deps.log('warn', 'floor could not be raised', { ...ref, pod })
    }
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : 'unknown')

function refusalOf(start: Exclude<StartOutcome, { outcome: 'started' | 'exists' }>): { reason: RejectReason; detail: string | undefined } {
  if (start.outcome === 'floor') return { reason: 'floor', detail: undefined }
  if (start.outcome === 'busy') return { reason: 'workspace_busy', detail: `held by ${start.holder}` }
  return { reason: 'start_failed', detail: start.detail }
}
