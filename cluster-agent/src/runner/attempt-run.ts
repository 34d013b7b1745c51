// The driver of attempt-run-machine.ts: one attempt with its line, its code agent, its process tree and its timers.

import type { Assignment, AttemptRef, StopReason } from '@rdev/shared/domain/attempt'
import { startCursor } from '@rdev/shared/domain/attempt'
import { agentRequestOf } from '@rdev/shared/domain/code-agent'
import type { AgentResult } from '@rdev/shared/domain/code-agent'
import { attemptName } from '@rdev/shared/domain/ids'
import { cancelGraceS, ceilingGraceMs } from '@rdev/shared/domain/limits'
import type { Pod } from '@rdev/shared/domain/pod'
import type { TaskCommand } from '@rdev/shared/wire/task-frames'
import { drive, NamedTimers, within } from '../drive.ts'
import type {
  AgentRegistry,
  AttemptDirectories,
  CommandRunner,
  HubReports,
  Log,
  LogPosition,
  NewEvent,
  OpenLine,
  PodHost,
  ProcessSpec,
  TaskLine,
  Timers,
} from '../ports.ts'
import { prelude, workspaceNeeds, workspaceOf } from '../workspaces/workspace.ts'
import type { AttemptEffect } from './attempt-run-machine.ts'
import { newAttempt, settleMs, stepAttempt } from './attempt-run-machine.ts'
import { AttemptProcess, RejectedStart } from './attempt-process.ts'
import type { ViewOwner } from './attempt-view.ts'
import { AttemptView } from './attempt-view.ts'
import { encodeEvents } from './encoded-events.ts'
import { outcomeOf } from './outcome.ts'

/** How long a provider has to stop by itself before its processes get signals. */
const politeMs = 2_000

export interface RunnerDeps {
  readonly directories: AttemptDirectories
  readonly host: Pick<PodHost, 'connect'>
  readonly agents: AgentRegistry
  readonly commands: Readonly<Record<'shell' | 'git', CommandRunner>>
  readonly openLine: OpenLine
  readonly hub: HubReports
  readonly timers: Timers
  readonly log: Log
}

export class AttemptRun {
  readonly name: string
  readonly ref: AttemptRef
  readonly pod: Pod
  /** Resolves when its process tree is gone, or when it is certain that it will never start. */
  readonly ended: Promise<unknown>
  /** Resolves when the log has its result and this agent has nothing left of it. */
  readonly forgotten: Promise<void>
  readonly #deps: RunnerDeps
  readonly #assignment: Assignment
  readonly #adopted: boolean
  readonly #home: string | undefined
  readonly #timers: NamedTimers<'grace' | 'settle' | 'idle' | 'ceiling' | 'give_up'>
  readonly #machine
  readonly #process: AttemptProcess
  readonly #owner: ViewOwner
  readonly #forget: () => void
  #line: TaskLine | undefined
  #view: AttemptView | undefined
  /** The log refused its token and takes nothing before a fresh one comes. */
  #refused = false
  #position: LogPosition = { received: 0, cursor: startCursor }
  #start: Promise<void> | undefined
  #startedAt = 0
  #polite: Promise<unknown> | undefined
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
    this.#timers = new NamedTimers(deps.timers)
    this.#machine = drive(deps.timers, stepAttempt, newAttempt(adopted), (effect: AttemptEffect) => this.#perform(effect))
    this.pod = pod
    this.ref = { task_id, attempt }
    this.name = attemptName(task_id, attempt)
    const forgotten = Promise.withResolvers<void>()
    this.forgotten = forgotten.promise
    this.#process = new AttemptProcess(deps, { name: this.name, ref: this.ref, pod: pod.name }, this.#machine.step)
    this.ended = Promise.race([this.#process.record, this.forgotten])
    this.#forget = () => {
      forget()
      forgotten.resolve()
    }
    this.#owner = this.#createOwner()
  }

  get started(): boolean {
    return this.#machine.state.phase !== 'starting'
  }
  get live(): boolean {
    return this.started && this.#machine.state.phase !== 'done'
  }

  /** Starts the process and opens the line at the same time: events wait for the line, the process does not. */
  begin(): void {
    // Of an adopted attempt it is not known how long it has run.
    this.#alarm('ceiling', this.#assignment.timeout_s * 1000 + ceilingGraceMs)
    if (this.#adopted) {
      this.#accept('attempt adopted')
    } else void this.#read(0)
    this.#line = this.#deps.openLine({ ...this.ref, token: this.#assignment.token }, this.#adopted ? undefined : this.#position, {
      restart: (from) => {
        this.#position = from
        this.#machine.step({ type: 'restart' })
      },
      command: (command) => this.#command(command),
      finished: (how) => this.#machine.step(how === 'acked' ? { type: 'acked' } : { type: 'discard' }),
      refused: () => {
        this.#refused = true
        this.#deps.hub.hello()
      },
    })
  }

  /** Assigned or adopted again: nothing is started twice; the fresh token is used and the hub is answered again. */
  again(token: string): void {
    if (this.#machine.state.phase === 'done') return this.#deps.hub.rejected(this.ref, 'already_ended')
    this.#refused = false
    this.#line?.token(token)
    if (this.started) this.#deps.hub.accepted(this.ref, this.#startedAt)
  }

  get refused(): boolean {
    return this.live && this.#refused
  }

  missing(): void {
    this.#machine.step({ type: 'missing' })
  }
  discard(): void {
    this.#machine.step({ type: 'discard' })
  }
  podGone(): void {
    this.#machine.step({ type: 'pod_gone' })
  }
  shutdown(): void {
    this.#machine.step({ type: 'shutdown' })
  }

  /** Leaves the attempt to the next agent, after the log has what was read, or after `maxMs`. */
  async leave(maxMs: number): Promise<void> {
    this.#view?.letGo()
    if (this.#line) await within(this.#deps.timers, maxMs, this.#line.flushed())
    this.#line?.close()
    this.#cleanUp()
  }

  #perform(effect: AttemptEffect): void {
    switch (effect.type) {
      case 'accept':
        return this.#accept('attempt started')
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
        if (effect.timer === 'give_up') return this.#alarm('give_up', effect.inMs)
        return this.#arm(effect.timer, effect.inMs)
      case 'reach':
        return void this.#process.reach()
      case 'stop_asking':
        return this.#process.over()
      case 'report':
        return this.#report()
      case 'finished':
        this.#deps.log('info', 'attempt finished', { ...this.ref, pod: this.pod.name })
        return this.#deps.hub.finished(this.ref)
      case 'remove':
        this.#removed = this.#process.remove()
        return
      case 'forget':
        this.#line?.close()
        this.#cleanUp()
        // The run is forgotten only when its directory is removed: a late assignment of the same attempt must not start meanwhile.
        return void this.#removed.then(this.#forget)
    }
  }

  #accept(phrase: 'attempt started' | 'attempt adopted'): void {
    this.#startedAt = this.#deps.timers.wall()
    this.#deps.log('info', phrase, { ...this.ref, pod: this.pod.name, kind: this.#assignment.kind })
    this.#deps.hub.accepted(this.ref, this.#startedAt)
    this.#process.watchEnd()
  }

  #cleanUp(): void {
    this.#process.over()
    this.#timers.cancelAll()
  }

  #command(command: TaskCommand): void {
    if (command.type === 'cancel') this.#machine.step({ type: 'cancel', graceS: command.grace_s })
  }

  async #read(reading: number): Promise<void> {
    const assignment = this.#assignment
    const view = new AttemptView(this.#owner, { name: this.name, assignment, pod: this.pod }, this.#position)
    this.#view = view
    this.#activeAt = this.#deps.timers.now()
    if (reading > 0) {
      if (this.#position.received === 0) this.#tellStart()
      this.#watchSilence()
    }
    let result: AgentResult | undefined
    try {
      result = await this.#execute(view)
    } catch (error) {
      if (!(error instanceof RejectedStart) && !view.released) {
        // The message may hold the provider's output, so only the name and the place of the error are logged.
        const where = error instanceof Error ? error.stack?.split('\n').find((line) => line.includes(' at ')) : undefined
        this.#deps.log('error', 'code agent threw an error', { ...this.ref, error: error instanceof Error ? error.name : 'unknown', where })
      }
    }
    if (view.released) return
    if (!this.#start && !this.#adopted) {
      const missing = result?.error_code === 'BINARY_MISSING'
      return this.#machine.step({ type: 'rejected', reason: missing ? 'binary_missing' : 'invalid', detail: result?.error })
    }
    this.#machine.step({ type: 'executed', reading, result })
  }

  #execute(view: AttemptView): Promise<AgentResult> {
    const { kind, provider } = this.#assignment
    if (kind !== 'agent') return this.#deps.commands[kind].execute(view)
    const agent = this.#deps.agents.get(provider)
    if (!agent) return Promise.resolve({ status: 'failed', error_code: 'BINARY_MISSING', error: 'this agent does not know that provider' })
    return agent.execute(agentRequestOf(this.#assignment, agent.provider), view)
  }

  /** Emits the first events of the attempt as one unit, so the log has all of them or nothing of the attempt. */
  #tellStart(): void {
    const { kind, provider, working_dir } = this.#assignment
    const directory = workspaceOf(this.pod, this.#assignment)
    const facts = { kind, ...(provider ? { provider } : {}), pod: this.pod.name, working_dir: working_dir ?? '.' }
    const events: NewEvent[] = [{ type: 'task.started', data: facts }]
    if (workspaceNeeds(this.pod, this.#assignment).folder)
      events.push({ type: 'workspace.prepared', data: { pod: this.pod.name, directory } })
    const time = new Date(this.#deps.timers.wall()).toISOString()
    void this.#line?.emit(
      events.flatMap((event) => encodeEvents(event, time)),
      startCursor,
    )
  }

  #createOwner(): ViewOwner {
    const { directories, host, timers } = this.#deps
    const pod = this.pod.name
    return {
      start: (spec) => (this.#adopted ? Promise.resolve() : (this.#start ??= this.#startProcess(spec))),
      follow: (from, signal) => directories.follow(pod, this.name, { stdout: from.stdout, stderr: from.stderr }, signal),
      exited: () => this.#process.record,
      stop: () => this.#stopTree(cancelGraceS, 'stopped'),
      emit: (events, cursor) => this.#line?.emit(events, cursor) ?? Promise.resolve(),
      stored: () => this.#line?.flushed() ?? Promise.resolve(),
      delta: (data) => this.#line?.delta(data),
      connect: (port) => host.connect(pod, port),
      readNote: (note) => directories.readNote(pod, this.name, note),
      writeNote: (note, text) => directories.writeNote(pod, this.name, note, text),
      now: () => timers.wall(),
      after: (ms, run) => timers.after(ms, run),
      active: () => {
        this.#activeAt = this.#deps.timers.now()
      },
    }
  }

  #startProcess(spec: ProcessSpec): Promise<void> {
    const { folder, lock } = workspaceNeeds(this.pod, this.#assignment)
    const script = prelude(this.pod, this.#assignment) + spec.script
    return this.#process.start({ ...spec, folder, lock, home: this.#home, script })
  }

  async #stopTree(graceS: number, reason: StopReason): Promise<void> {
    await this.#polite
    await this.#process.stop(graceS, reason)
  }

  #interrupt(): void {
    const view = this.#view
    const agent = this.#assignment.kind === 'agent' ? this.#deps.agents.get(this.#assignment.provider) : undefined
    view?.interrupt()
    if (!view || !agent) return
    const asked = agent.cancel(view).catch(() => {})
    this.#polite = within(this.#deps.timers, politeMs, asked)
  }

  #report(): void {
    const { record, result, cause, givenUp } = this.#machine.state
    const facts = {
      kind: this.#assignment.kind,
      record,
      result: result === 'none' ? undefined : result,
      cause,
      givenUp,
      failOnDenied: this.#assignment.fail_on_denied,
    }
    this.#line?.result(outcomeOf(facts))
  }

  #alarm(name: 'ceiling' | 'give_up', inMs: number): void {
    this.#timers.set(name, inMs, () => this.#machine.step({ type: 'timer', timer: name }))
  }

  #arm(name: 'grace' | 'settle', inMs: number): void {
    this.#timers.set(name, inMs, () => {
      if (this.#machine.state.phase !== 'running' && this.#machine.state.phase !== 'ending') return
      const view = this.#view
      const silentMs = this.#deps.timers.now() - this.#activeAt
      // The code agent cannot end while the log takes no events, or before the log has told its position.
      const waits = !view || view.released || view.blocked || silentMs < Math.min(inMs, settleMs)
      if (name === 'settle' && waits) this.#arm(name, inMs)
      else this.#machine.step({ type: 'timer', timer: name })
    })
  }

  #watchSilence(): void {
    const limitS = this.#assignment.idle_timeout_s
    if (limitS === null) return
    const { timers } = this.#deps
    const limitMs = limitS * 1000
    const look = () => {
      if (this.#view?.blocked) this.#activeAt = timers.now()
      const leftMs = this.#activeAt + limitMs - timers.now()
      if (leftMs > 0) this.#timers.set('idle', leftMs, look)
      else this.#machine.step({ type: 'idle' })
    }
    this.#timers.set('idle', limitMs, look)
  }
}
