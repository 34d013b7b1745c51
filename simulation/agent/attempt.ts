// One attempt in the agent: the real attempt machine, effects as cluster-agent/src/runner/attempt-run.ts does them.

import { startCursor, type Assignment, type ExitRecord } from '@rdev/shared/domain/attempt'
import { fullJitter } from '@rdev/shared/domain/backoff'
import type { AgentResult } from '@rdev/shared/domain/code-agent'
import { attemptName } from '@rdev/shared/domain/ids'
import type { Pod } from '@rdev/shared/domain/pod'
import type { AttemptRef } from '@rdev/shared/wire/parts'
import {
  newAttempt,
  settleMs,
  stepAttempt,
  type AttemptEffect,
  type AttemptInput,
  type AttemptState,
} from '../../cluster-agent/src/runner/attempt-machine.ts'
import { outcomeOf } from '../../cluster-agent/src/runner/outcome.ts'
import { workspaceNeeds } from '../../cluster-agent/src/workspaces/workspace.ts'
import { Life, type Timer } from '../world/kernel.ts'
import type { AgentProcess } from './agent-process.ts'
import { SimLine, type Position } from './line.ts'
import { Reading } from './reading.ts'

const removeTries = 5
const politeMs = 2_000

export class SimAttempt {
  readonly name: string
  readonly ref: AttemptRef
  readonly pod: Pod
  readonly #agent: AgentProcess
  readonly #assignment: Assignment
  readonly #adopted: boolean
  readonly #home: string | undefined
  readonly #forget: () => void
  /** Ends when nothing of it is wanted any more: every question that it asked is dropped. */
  readonly #over: Life
  readonly #timers = new Map<string, Timer>()
  #state: AttemptState
  #line: SimLine | undefined
  #reading: Reading | undefined
  #position: Position = { received: 0, cursor: startCursor }
  #starting = false
  #startedAt = 0
  #record: ExitRecord | undefined
  #activeAt = 0
  #politeUntil = 0
  #refused = false
  #removing = false

  constructor(
    agent: AgentProcess,
    assignment: Assignment,
    pod: Pod,
    { home, adopted }: { readonly home: string | undefined; readonly adopted: boolean },
    forget: () => void,
  ) {
    const { task_id, attempt } = assignment
    this.#agent = agent
    this.#assignment = assignment
    this.#adopted = adopted
    this.#home = home
    this.#forget = forget
    this.#over = new Life('attempt', agent.life)
    this.#state = newAttempt(adopted)
    this.pod = pod
    this.ref = { task_id, attempt }
    this.name = attemptName(task_id, attempt)
  }

  get started(): boolean {
    return this.#state.phase !== 'starting'
  }
  get live(): boolean {
    return this.started && this.#state.phase !== 'done'
  }

  begin(): void {
    if (this.#adopted) {
      this.#startedAt = this.#agent.wall()
      this.#agent.accepted(this.ref, this.#startedAt)
      this.#watchEnd()
    } else this.#read(0)
    this.#line = new SimLine(this.#agent, this.#assignment.token, this.#adopted ? undefined : this.#position, {
      restart: (from) => {
        this.#position = from
        this.#step({ type: 'restart' })
      },
      command: (command) => {
        if (command.type === 'cancel') this.#step({ type: 'cancel', graceS: command.grace_s })
      },
      finished: (how) => this.#step(how === 'acked' ? { type: 'acked' } : { type: 'discard' }),
      refused: () => {
        this.#refused = true
        this.#agent.hello()
      },
    })
  }

  again(token: string): void {
    if (this.#state.phase === 'done') return this.#agent.rejected(this.ref, 'already_ended', undefined)
    this.#refused = false
    this.#line?.token(token)
    if (this.started) this.#agent.accepted(this.ref, this.#startedAt)
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

  /** Lets it go on without this agent, once the log has what was read. */
  leave(maxMs: number, done: () => void): void {
    this.#reading?.letGo()
    const { kernel, life } = this.#agent
    const until = kernel.now + maxMs
    const look = () => {
      if (this.#line?.flushed === false && kernel.now < until) return void kernel.after(20, life, look)
      this.#line?.close()
      this.#cleanUp()
      done()
    }
    look()
  }

  #step(input: AttemptInput): void {
    const step = stepAttempt(this.#state, input)
    this.#agent.say(
      () =>
        `${this.name.slice(-6)}: ${input.type}${step.effects.length > 0 ? ` → ${step.effects.map((effect) => effect.type).join(', ')}` : ''} (${step.state.phase})`,
    )
    this.#state = step.state
    for (const effect of step.effects) this.#perform(effect)
  }

  #perform(effect: AttemptEffect): void {
    switch (effect.type) {
      case 'accept':
        this.#startedAt = this.#agent.wall()
        this.#agent.accepted(this.ref, this.#startedAt)
        return this.#watchEnd()
      case 'begun':
        this.#tellStart()
        return this.#watchSilence()
      case 'reject':
        return this.#agent.rejected(this.ref, effect.reason, effect.detail)
      case 'read':
        return this.#read(effect.reading)
      case 'let_go':
        return this.#reading?.letGo()
      case 'interrupt':
        if (this.#assignment.kind === 'agent') this.#politeUntil = this.#agent.kernel.now + this.#agent.kernel.random.int(0, politeMs)
        return
      case 'stop_tree':
        return this.#stopTree(effect.graceS, effect.reason)
      case 'timer':
        return this.#arm(effect.timer, effect.inMs)
      case 'reach':
        return this.#reach(0)
      case 'report': {
        const { record, result, cause } = this.#state
        const facts = { kind: this.#assignment.kind, record, result: result === 'none' ? undefined : result, cause }
        return this.#line?.result(outcomeOf(facts))
      }
      case 'finished':
        return this.#agent.finished(this.ref)
      case 'remove':
        this.#removing = true
        return this.#remove(0)
      case 'forget':
        this.#line?.close()
        this.#cleanUp()
        // Until the directory is gone the name is taken.
        if (!this.#removing) this.#forget()
    }
  }

  #cleanUp(): void {
    this.#over.die()
    for (const timer of this.#timers.values()) timer.cancelled = true
  }

  #read(number: number): void {
    const reading = new Reading(this.#agent, this.#assignment, this.name, this.#position, {
      emit: (events, cursor, taken) => {
        const time = new Date(this.#agent.wall()).toISOString()
        const stamped = events.map((event) => ({ type: event.type, time, data: event.data }))
        this.#line?.emit(stamped, cursor, taken)
      },
      active: () => (this.#activeAt = this.#agent.kernel.now),
      done: (result: AgentResult | undefined) => this.#step({ type: 'executed', reading: number, result }),
    })
    this.#reading = reading
    this.#activeAt = this.#agent.kernel.now
    if (number > 0) {
      if (this.#position.received === 0) this.#tellStart()
      this.#watchSilence()
    }
    if (this.#record !== undefined) reading.ended(this.#record)
    if (this.#adopted || this.started) return reading.begin()
    if (!this.#starting) {
      this.#starting = true
      this.#start(0)
    }
  }

  #tellStart(): void {
    const time = new Date(this.#agent.wall()).toISOString()
    this.#line?.emit([{ type: 'task.started', time, data: { kind: this.#assignment.kind, pod: this.pod.name } }], startCursor, () => {})
  }

  #start(tries: number): void {
    const { directories } = this.#agent
    const { pod, kind, prompt, command, timeout_s } = this.#assignment
    const plan = kind === 'agent' ? prompt : command
    directories.start(
      pod,
      this.name,
      String(plan),
      timeout_s * 1_000,
      workspaceNeeds(this.pod, this.#assignment).lock ?? null,
      this.#home,
      this.#over,
      (outcome) => {
        if (outcome === 'started' || outcome === 'exists') {
          this.#step({ type: 'started' })
          // What reads since before the start goes on, unless it was let go of by what the start has set off.
          return this.#reading?.begin()
        }
        const reasons = { floor: 'floor', busy: 'workspace_busy', failed: 'start_failed' } as const
        this.#step({ type: 'rejected', reason: reasons[outcome], detail: undefined })
      },
      () => this.#later(tries, () => this.#start(tries + 1)),
    )
  }

  /** Repeated with pauses until the attempt is over. */
  #later(tries: number, again: () => void): void {
    const { kernel } = this.#agent
    kernel.after(50 + fullJitter(tries, kernel.random.chance(), 200, 5_000), this.#over, again)
  }

  #stopTree(graceS: number, reason: 'cancelled' | 'timeout' | 'stopped', tries = 0): void {
    const { kernel, directories } = this.#agent
    kernel.after(Math.max(0, this.#politeUntil - kernel.now), this.#over, () =>
      directories.stop(
        this.#assignment.pod,
        this.name,
        graceS,
        reason,
        this.#over,
        () => this.#step({ type: 'emptied' }),
        () => this.#later(tries, () => this.#stopTree(graceS, reason, tries + 1)),
      ),
    )
  }

  #reach(tries: number): void {
    this.#agent.directories.touch(
      this.#assignment.pod,
      this.#over,
      () => this.#step({ type: 'reached' }),
      () => this.#later(tries, () => this.#reach(tries + 1)),
    )
  }

  #watchEnd(tries = 0): void {
    this.#agent.directories.ended(
      this.#assignment.pod,
      this.name,
      this.#over,
      (record) => {
        this.#record = record
        this.#step({ type: 'exited', record })
        this.#reading?.ended(record)
      },
      () => {
        if (this.started) this.#raiseFloor(() => this.#step({ type: 'pod_gone' }))
        else this.#later(tries, () => this.#watchEnd(tries + 1))
      },
    )
  }

  #raiseFloor(done: () => void): void {
    this.#agent.directories.remove(this.#assignment.pod, this.name, this.#over, done, done)
  }

  #remove(tries: number): void {
    const { kernel, directories, life } = this.#agent
    const done = () => this.#forget()
    directories.remove(this.#assignment.pod, this.name, life, done, () => {
      if (tries + 1 >= removeTries) return done()
      kernel.after(fullJitter(tries, kernel.random.chance(), 500, 10_000), life, () => this.#remove(tries + 1))
    })
  }

  #timer(name: string, inMs: number, run: () => void): void {
    const before = this.#timers.get(name)
    if (before !== undefined) before.cancelled = true
    this.#timers.set(name, this.#agent.kernel.after(inMs, this.#over, run))
  }

  #arm(name: 'grace' | 'settle', inMs: number): void {
    this.#timer(name, inMs, () => {
      if (this.#state.phase !== 'running' && this.#state.phase !== 'ending') return
      const reading = this.#reading
      const silentMs = this.#agent.kernel.now - this.#activeAt
      const waits = !reading || reading.released || reading.blocked || silentMs < Math.min(inMs, settleMs)
      if (name === 'settle' && waits) this.#arm(name, inMs)
      else this.#step({ type: 'timer', timer: name })
    })
  }

  #watchSilence(): void {
    const limitS = this.#assignment.idle_timeout_s
    if (limitS === null) return
    const { kernel } = this.#agent
    const look = () => {
      if (this.#reading?.blocked === true) this.#activeAt = kernel.now
      const leftMs = this.#activeAt + limitS * 1000 - kernel.now
      if (leftMs > 0) this.#timer('idle', leftMs, look)
      else this.#step({ type: 'idle' })
    }
    this.#timer('idle', limitS * 1000, look)
  }
}
