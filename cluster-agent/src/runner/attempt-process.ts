// What an attempt asks of its pod: that its process starts, ends, is gone. A failure to ask proves nothing, so it is asked again until there is an
// answer or the attempt is over: the pod makes that safe, giving the task to somebody else would not be.

import type { ExitRecord, RejectReason } from '@rdev/shared/domain/attempt'
import { fullJitter } from '@rdev/shared/domain/backoff'
import type { AttemptRef } from '@rdev/shared/wire/parts'
import { pause } from '../drive.ts'
import type { AttemptDirectories, Log, ProcessSpec, StartOutcome, StopReason, Timers } from '../ports.ts'
import type { AttemptInput } from './attempt-run-machine.ts'

const removeTries = 5

/** Thrown to a code agent whose process must not run; how it takes it does not matter. */
export class RejectedStart extends Error {
  constructor() {
    super('this attempt must not be started here')
    this.name = 'RejectedStart'
  }
}

export interface AttemptProcessDeps {
  readonly directories: AttemptDirectories
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
  /** Its start is certain: that its directory is not there proves then that it is lost. */
  #started = false

  /** Its answers are steps of the attempt's machine. */
  constructor(deps: AttemptProcessDeps, at: AttemptInPod, step: (input: AttemptInput) => void) {
    this.#deps = deps
    this.#at = at
    this.#step = step
  }

  /** Resolves when the process tree has ended and that is known here. */
  get record(): Promise<ExitRecord> {
    return this.#record.promise
  }

  /** Throws RejectedStart if the process must not run. */
  async start(spec: ProcessSpec): Promise<void> {
    const { pod, name } = this.#at
    const started = await this.#until('start', () => this.#deps.directories.start(pod, name, spec, this.#over.signal))
    if (!started) throw new RejectedStart()
    if (started.outcome === 'started' || started.outcome === 'exists') return this.#step({ type: 'started' })
    this.#step({ type: 'rejected', ...refusalOf(started) })
    throw new RejectedStart()
  }

  /** It runs, or did: its end is waited for. */
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

  /** Asks the pod for any answer. */
  async reach(): Promise<void> {
    const done = await this.#until('reach', () => this.#deps.directories.touch(this.#at.pod).then(() => true))
    if (done) this.#step({ type: 'reached' })
  }

  /** Its directory, once the log holds its result. Also after `over`. */
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
    // It will be in the next hello, and the hub will want it stopped.
    log('warn', 'attempt directory could not be removed', { ...ref, pod })
  }

  /** Nothing is asked any more. */
  over(): void {
    this.#over.abort()
  }

  /** Repeats what throws, with pauses, until the attempt is over; undefined then. */
  async #until<Result>(what: string, ask: () => Promise<Result>): Promise<Result | undefined> {
    const { timers, log } = this.#deps
    const { ref, pod } = this.#at
    for (let tries = 0; !this.#over.signal.aborted; tries++) {
      try {
        return await ask()
      } catch (error) {
        if (this.#over.signal.aborted) return undefined
        // The pod answers, and what it had of the attempt is no more: as lost as with the pod.
        if (error instanceof Error && error.name === 'AttemptGone' && this.#started) {
          await this.#raiseFloor()
          this.#step({ type: 'pod_gone' })
          return undefined
        }
        const message = error instanceof Error ? error.message : 'unknown'
        log('warn', 'pod could not be asked', { ...ref, pod, what, message, tries })
        await pause(timers, 50 + fullJitter(tries, timers.random(), 200, 5_000))
      }
    }
    return undefined
  }

  /** What is given up here must not begin after that. */
  async #raiseFloor(): Promise<void> {
    const { pod, name, ref } = this.#at
    try {
      await this.#deps.directories.remove(pod, name)
    } catch {
      this.#deps.log('warn', 'floor could not be raised', { ...ref, pod })
    }
  }
}

function refusalOf(start: Exclude<StartOutcome, { outcome: 'started' | 'exists' }>): { reason: RejectReason; detail: string | undefined } {
  if (start.outcome === 'floor') return { reason: 'floor', detail: undefined }
  if (start.outcome === 'busy') return { reason: 'workspace_busy', detail: `held by ${start.holder}` }
  return { reason: 'start_failed', detail: start.detail }
}
