// The shell of attempt-machine.ts: one attempt with its line, its code agent, its process tree and its timers.

import { performance } from 'node:perf_hooks'
import type { Assignment, ExitRecord, RejectReason } from '@rdev/shared/domain/attempt'
import { startCursor } from '@rdev/shared/domain/attempt'
import { fullJitter } from '@rdev/shared/domain/backoff'
import { agentRequestOf } from '@rdev/shared/domain/code-agent'
import type { AgentResult } from '@rdev/shared/domain/code-agent'
import { attemptName } from '@rdev/shared/domain/ids'
import type { Pod } from '@rdev/shared/domain/pod'
import type { AttemptRef } from '@rdev/shared/wire/parts'
import type { TaskCommand } from '@rdev/shared/wire/task-frames'
import type { AgentRegistry } from '../agents/registry.ts'
import type {
  AttemptDirectories,
  Clock,
  CommandRunner,
  HubReports,
  Log,
  LogPosition,
  NewEvent,
  OpenLine,
  PodHost,
  ProcessSpec,
  StartOutcome,
  StopReason,
  TaskLine,
} from '../ports.ts'
import { prelude, workspaceNeeds, workspaceOf } from '../workspaces/workspace.ts'
import type { AttemptEffect, AttemptInput, AttemptState } from './attempt-machine.ts'
import { stopGraceS } from '@rdev/shared/domain/limits'
import { newAttempt, settleMs, stepAttempt } from './attempt-machine.ts'
import type { ViewOwner } from './attempt-view.ts'
import { AttemptView } from './attempt-view.ts'
import { encodeEvent } from './bounded-event.ts'
import { outcomeOf } from './outcome.ts'

/** How long a provider is asked politely before its processes get their signals. */
const politeMs = 2_000
const removeTries = 5

export interface RunnerDeps {
  readonly directories: AttemptDirectories
  readonly host: Pick<PodHost, 'connect'>
  readonly agents: AgentRegistry
  readonly commands: Readonly<Record<'shell' | 'git', CommandRunner>>
  readonly openLine: OpenLine
  readonly hub: HubReports
  readonly clock: Clock
  readonly log: Log
}

/** Thrown to a code agent whose process must not run; how it takes it does not matter. */
export class RejectedStart extends Error {
  constructor() {
    super('this attempt must not be started here')
    this.name = 'RejectedStart'
  }
}

export class AttemptRun {
  readonly name: string
  readonly ref: AttemptRef
  readonly pod: Pod
  /** Resolves when its process tree is gone, or never will be started. */
  readonly ended: Promise<unknown>
  /** Resolves when the log has its result, and nothing of it is left here. */
  readonly forgotten: Promise<void>
  readonly #deps: RunnerDeps
  readonly #assignment: Assignment
  readonly #adopted: boolean
  readonly #home: string | undefined
  readonly #over = new AbortController()
  readonly #timers = new Map<string, NodeJS.Timeout>()
  readonly #record = Promise.withResolvers<ExitRecord>()
  readonly #owner: ViewOwner
  readonly #forget: () => void
  #state: AttemptState
  #line: TaskLine | undefined
  #view: AttemptView | undefined
  /** Its log takes nothing from it before a fresh token comes. */
  #refused = false
  #position: LogPosition = { received: 0, cursor: startCursor }
  #start: Promise<void> | undefined
  #startedAt = 0
  #polite: Promise<void> | undefined
  #activeAt = 0
  #removed: Promise<void> = Promise.resolve()

  constructor(
    deps: RunnerDeps,
    assignment: Assignment,
    pod: Pod,
    { home, adopted }: { readonly home: string | undefined; readonly adopted: boolean },
    forget: () => void,
  ) {
    const { task_id, attempt } = assignment
    this.#deps = deps
    this.#assignment = assignment
    this.#adopted = adopted
    this.#home = home
    this.#state = newAttempt(adopted)
    this.pod = pod
    this.ref = { task_id, attempt }
    this.name = attemptName(task_id, attempt)
    const forgotten = Promise.withResolvers<void>()
    this.forgotten = forgotten.promise
    this.ended = Promise.race([this.#record.promise, this.forgotten])
    this.#forget = () => {
      forget()
      forgotten.resolve()
    }
    this.#owner = this.#createOwner()
  }

  get started(): boolean {
    return this.#state.phase !== 'starting'
  }
  get live(): boolean {
    return this.started && this.#state.phase !== 'done'
  }

  /** The process first, the line beside it: events wait for the line, the process does not. */
  begin(): void {
    if (this.#adopted) {
      this.#startedAt = this.#deps.clock.now()
      this.#deps.hub.accepted(this.ref, this.#startedAt)
      this.#watchEnd()
    } else void this.#read(0)
    this.#line = this.#deps.openLine({ ...this.ref, token: this.#assignment.token }, this.#adopted ? undefined : this.#position, {
      restart: (from) => {
        this.#position = from
        this.#step({ type: 'restart' })
      },
      command: (command) => this.#command(command),
      finished: (how) => this.#step(how === 'acked' ? { type: 'acked' } : { type: 'discard' }),
      refused: () => {
        this.#refused = true
        this.#deps.hub.hello()
      },
    })
  }

  /** Assigned or adopted again: nothing is started twice, but the token is fresh and the answer is repeated. */
  again(token: string): void {
    if (this.#state.phase === 'done') return this.#deps.hub.rejected(this.ref, 'already_ended')
    this.#refused = false
    this.#line?.token(token)
    if (this.started) this.#deps.hub.accepted(this.ref, this.#startedAt)
  }

  get refused(): boolean {
    return this.live && this.#refused
  }

  missing(): void {
    this.#step({ type: 'missing' })
  }
  discard(): void {
    this.#step({ type: 'discard' })
  }
  podGone(): void {
    this.#step({ type: 'pod_gone' })
  }
  shutdown(): void {
    this.#step({ type: 'shutdown' })
  }

  /** Lets the attempt go on without this program, once the log has what was read so far. */
  async leave(maxMs: number): Promise<void> {
    this.#view?.letGo()
    await this.#line?.flushed(maxMs)
    this.#line?.close()
    this.#cleanUp()
  }

  #step(input: AttemptInput): void {
    const step = stepAttempt(this.#state, input)
    this.#state = step.state
    for (const effect of step.effects) this.#perform(effect)
  }

  #perform(effect: AttemptEffect): void {
    switch (effect.type) {
      case 'accept':
        this.#startedAt = this.#deps.clock.now()
        this.#deps.log('info', 'attempt started', { ...this.ref, pod: this.pod.name, kind: this.#assignment.kind })
        this.#deps.hub.accepted(this.ref, this.#startedAt)
        return this.#watchEnd()
      case 'begun':
        this.#tellStart()
        return this.#watchSilence()
      case 'reject':
        this.#deps.log('warn', 'attempt rejected', { ...this.ref, pod: this.pod.name, reason: effect.reason })
        return this.#deps.hub.rejected(this.ref, effect.reason, effect.detail)
      case 'read':
        return void this.#read(effect.reading)
      case 'let_go':
        return this.#view?.letGo()
      case 'interrupt':
        return this.#interrupt()
      case 'stop_tree':
        return void this.#stopTree(effect.graceS, effect.reason)
      case 'timer':
        return this.#arm(effect.timer, effect.inMs)
      case 'reach':
        return void this.#reach()
      case 'report':
        return this.#report()
      case 'finished':
        this.#deps.log('info', 'attempt finished', { ...this.ref, pod: this.pod.name })
        return this.#deps.hub.finished(this.ref)
      case 'remove':
        this.#removed = this.#remove()
        return
      case 'forget':
        this.#line?.close()
        this.#cleanUp()
        // Until the directory is gone the name is taken: a late repetition must not meet the removal.
        return void this.#removed.then(this.#forget)
    }
  }

  #cleanUp(): void {
    this.#over.abort()
    for (const timer of this.#timers.values()) clearTimeout(timer)
  }

  #command(command: TaskCommand): void {
    if (command.type === 'cancel') this.#step({ type: 'cancel', graceS: command.grace_s })
  }

  async #read(reading: number): Promise<void> {
    const assignment = this.#assignment
    const view = new AttemptView(this.#owner, { name: this.name, assignment, pod: this.pod }, this.#position)
    this.#view = view
    this.#activeAt = performance.now()
    if (reading > 0) {
      if (this.#position.received === 0) this.#tellStart()
      this.#watchSilence()
    }
    let result: AgentResult | undefined
    try {
      result = await this.#execute(view)
    } catch (error) {
      if (!(error instanceof RejectedStart) && !view.released) {
        // Whatever it says may hold what the provider said: only where it was thrown is told.
        const where = error instanceof Error ? error.stack?.split('\n').find((line) => line.includes(' at ')) : undefined
        this.#deps.log('error', 'code agent failed inside', { ...this.ref, error: error instanceof Error ? error.name : 'unknown', where })
      }
    }
    if (view.released) return
    if (!this.#start && !this.#adopted) {
      const missing = result?.error_code === 'BINARY_MISSING'
      return this.#step({ type: 'rejected', reason: missing ? 'binary_missing' : 'invalid', detail: result?.error })
    }
    this.#step({ type: 'executed', reading, result })
  }

  #execute(view: AttemptView): Promise<AgentResult> {
    const { kind, provider } = this.#assignment
    if (kind !== 'agent') return this.#deps.commands[kind].execute(view)
    const agent = this.#deps.agents.get(provider)
    if (!agent) return Promise.resolve({ status: 'failed', error_code: 'BINARY_MISSING', error: 'this agent does not know that provider' })
    return agent.execute(agentRequestOf(this.#assignment, agent.provider), view)
  }

  /** The first events of every attempt; stored together, so they are there exactly if the log has anything of it. */
  #tellStart(): void {
    const { kind, provider, working_dir } = this.#assignment
    const directory = workspaceOf(this.pod, this.#assignment)
    const facts = { kind, ...(provider ? { provider } : {}), pod: this.pod.name, working_dir: working_dir ?? '.' }
    const events: NewEvent[] = [{ type: 'task.started', data: facts }]
    if (workspaceNeeds(this.pod, this.#assignment).folder)
      events.push({ type: 'workspace.prepared', data: { pod: this.pod.name, directory } })
    const time = new Date(this.#deps.clock.now()).toISOString()
    void this.#line?.emit(
      events.map((event) => encodeEvent(event, time)),
      startCursor,
    )
  }

  #createOwner(): ViewOwner {
    const { directories, host, clock } = this.#deps
    const pod = this.pod.name
    return {
      start: (spec) => (this.#adopted ? Promise.resolve() : (this.#start ??= this.#startProcess(spec))),
      follow: (from, signal) => directories.follow(pod, this.name, { stdout: from.stdout, stderr: from.stderr }, signal),
      exited: () => this.#record.promise,
      stop: () => this.#stopTree(stopGraceS, 'stopped'),
      emit: (events, cursor) => this.#line?.emit(events, cursor) ?? Promise.resolve(),
      stored: () => this.#line?.flushed() ?? Promise.resolve(),
      delta: (data) => this.#line?.delta(data),
      connect: (port) => host.connect(pod, port),
      readNote: (note) => directories.readNote(pod, this.name, note),
      writeNote: (note, text) => directories.writeNote(pod, this.name, note, text),
      now: () => clock.now(),
      active: () => {
        this.#activeAt = performance.now()
      },
    }
  }

  /** A failure to ask proves nothing, so it is asked again: the pod makes that safe, giving the task to somebody else would not be. */
  async #startProcess(spec: ProcessSpec): Promise<void> {
    const { folder, lock } = workspaceNeeds(this.pod, this.#assignment)
    const whole = { ...spec, folder, lock, home: this.#home, script: prelude(this.pod, this.#assignment) + spec.script }
    const started = await this.#until('start', () => this.#deps.directories.start(this.pod.name, this.name, whole))
    if (!started) throw new RejectedStart()
    if (started.outcome === 'started' || started.outcome === 'exists') return this.#step({ type: 'started' })
    this.#step({ type: 'rejected', ...refusalOf(started) })
    throw new RejectedStart()
  }

  /** What is given up here must not begin after that. */
  async #raiseFloor(): Promise<void> {
    try {
      await this.#deps.directories.remove(this.pod.name, this.name)
    } catch {
      this.#deps.log('warn', 'floor could not be raised', { ...this.ref, pod: this.pod.name })
    }
  }

  async #stopTree(graceS: number, reason: StopReason): Promise<void> {
    await this.#polite
    const done = await this.#until('stop', () => this.#deps.directories.stop(this.pod.name, this.name, graceS, reason).then(() => true))
    if (done) this.#step({ type: 'emptied' })
  }

  async #reach(): Promise<void> {
    const done = await this.#until('reach', () => this.#deps.directories.touch(this.pod.name).then(() => true))
    if (done) this.#step({ type: 'reached' })
  }

  #watchEnd(): void {
    const signal = this.#over.signal
    void this.#until('watch', () => this.#deps.directories.ended(this.pod.name, this.name, signal)).then((record) => {
      if (!record) return
      this.#record.resolve(record)
      this.#step({ type: 'exited', record })
    })
  }

  /** Repeats what throws, with pauses, until the attempt is over; undefined then. */
  async #until<Result>(what: string, ask: () => Promise<Result>): Promise<Result | undefined> {
    for (let tries = 0; !this.#over.signal.aborted; tries++) {
      try {
        return await ask()
      } catch (error) {
        if (this.#over.signal.aborted) return undefined
        // The pod answers, and what it had of the attempt is no more: as lost as with the pod.
        if (error instanceof Error && error.name === 'AttemptGone' && this.started) {
          await this.#raiseFloor()
          this.#step({ type: 'pod_gone' })
          return undefined
        }
        const message = error instanceof Error ? error.message : 'unknown'
        this.#deps.log('warn', 'pod could not be asked', { ...this.ref, pod: this.pod.name, what, message, tries })
        await new Promise((resolve) => setTimeout(resolve, 50 + fullJitter(tries, Math.random(), 200, 5_000)))
      }
    }
    return undefined
  }

  #interrupt(): void {
    const view = this.#view
    const agent = this.#assignment.kind === 'agent' ? this.#deps.agents.get(this.#assignment.provider) : undefined
    view?.interrupt()
    if (!view || !agent) return
    const asked = agent.cancel(view).catch(() => {})
    this.#polite = Promise.race([asked, new Promise<void>((resolve) => setTimeout(resolve, politeMs))])
  }

  #report(): void {
    const { record, result, cause } = this.#state
    const facts = { kind: this.#assignment.kind, record, result: result === 'none' ? undefined : result, cause }
    this.#line?.result(outcomeOf(facts))
  }

  async #remove(): Promise<void> {
    const { directories, log } = this.#deps
    for (let tries = 0; tries < removeTries; tries++) {
      try {
        return await directories.remove(this.pod.name, this.name)
      } catch {
        await new Promise((resolve) => setTimeout(resolve, fullJitter(tries, Math.random(), 500, 10_000)))
      }
    }
    // It will be in the next hello, and the hub will want it stopped.
    log('warn', 'attempt directory could not be removed', { ...this.ref, pod: this.pod.name })
  }

  #arm(name: 'grace' | 'settle', inMs: number): void {
    clearTimeout(this.#timers.get(name))
    this.#timers.set(
      name,
      setTimeout(() => {
        if (this.#state.phase !== 'running' && this.#state.phase !== 'ending') return
        const view = this.#view
        const silentMs = performance.now() - this.#activeAt
        // Its code agent cannot end while the log does not take its events, or before the log said where to read from.
        const waits = !view || view.released || view.blocked || silentMs < Math.min(inMs, settleMs)
        if (name === 'settle' && waits) this.#arm(name, inMs)
        else this.#step({ type: 'timer', timer: name })
      }, inMs),
    )
  }

  #watchSilence(): void {
    const limitS = this.#assignment.idle_timeout_s
    if (limitS === null) return
    const limitMs = limitS * 1000
    const look = () => {
      if (this.#view?.blocked) this.#activeAt = performance.now()
      const leftMs = this.#activeAt + limitMs - performance.now()
      if (leftMs > 0) this.#timers.set('idle', setTimeout(look, leftMs))
      else this.#step({ type: 'idle' })
    }
    clearTimeout(this.#timers.get('idle'))
    this.#timers.set('idle', setTimeout(look, limitMs))
  }
}

function refusalOf(start: Exclude<StartOutcome, { outcome: 'started' | 'exists' }>): { reason: RejectReason; detail: string | undefined } {
  if (start.outcome === 'floor') return { reason: 'floor', detail: undefined }
  if (start.outcome === 'busy') return { reason: 'workspace_busy', detail: `held by ${start.holder}` }
  return { reason: 'start_failed', detail: start.detail }
}
