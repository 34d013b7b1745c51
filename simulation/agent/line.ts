// An attempt's line: the real line machine on a simulated socket, as cluster-agent/src/link/task-line.ts does it.

import type { Cursor } from '@rdev/shared/domain/attempt'
import type { TaskOutcome } from '@rdev/shared/domain/task'
import type { TaskCommand, TaskDown } from '@rdev/shared/wire/task-frames'
import {
  hasRoom,
  newLine,
  stepLine,
  type LineEffect,
  type LineInput,
  type LineState,
  type Unit,
} from '../../cluster-agent/src/link/line-machine.ts'
import { spreadMs } from '../../cluster-agent/src/link/reconnect-group.ts'
import type { Timer } from '../world/kernel.ts'
import type { AgentProcess } from './agent-process.ts'
import { AgentSocket } from './sim-connection.ts'

export interface Position {
  readonly received: number
  readonly cursor: Cursor
}

export interface LineHandlers {
  restart(from: Position): void
  command(command: TaskCommand): void
  finished(how: 'acked' | 'ended'): void
  refused(): void
}

export class SimLine {
  readonly #agent: AgentProcess
  readonly #handlers: LineHandlers
  readonly #socket: AgentSocket
  readonly #waiting: { readonly unit: Unit; readonly taken: () => void }[] = []
  #token: string
  #state: LineState
  #flush: Timer | undefined
  #closed = false

  constructor(agent: AgentProcess, token: string, at: Position | undefined, handlers: LineHandlers) {
    this.#agent = agent
    this.#token = token
    this.#handlers = handlers
    this.#state = newLine(at)
    this.#socket = new AgentSocket(agent.kernel, agent.life, agent.network, {
      target: () => this.#token,
      up: () => this.#step({ type: 'opened' }),
      down: (code) => this.#step({ type: 'lost', code }),
      frame: (frame) => this.#step({ type: 'frame', frame: frame as TaskDown }),
      group: agent.group,
      spreadMs,
    })
    this.#socket.dial()
  }

  get flushed(): boolean {
    return this.#state.units.length === 0 && this.#waiting.length === 0
  }

  /** `taken` when the window has it. */
  emit(events: readonly object[], cursor: Cursor, taken: () => void): void {
    const encoded = events.map((event) => JSON.stringify(event))
    const unit: Unit = { events: encoded, cursor, bytes: encoded.reduce((sum, json) => sum + json.length, 0) }
    if (this.#waiting.length > 0 || !hasRoom(this.#state, unit.bytes)) return void this.#waiting.push({ unit, taken })
    this.#step({ type: 'emit', unit })
    taken()
  }

  result(outcome: TaskOutcome): void {
    this.#step({ type: 'result', outcome })
  }

  token(token: string): void {
    this.#token = token
    this.#socket.dial()
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    if (this.#flush !== undefined) this.#flush.cancelled = true
    this.#socket.stop()
    this.#forget()
  }

  #forget(): void {
    for (const { taken } of this.#waiting.splice(0)) taken()
  }

  #step(input: LineInput): void {
    const step = stepLine(this.#state, input, this.#agent.kernel.now)
    this.#state = step.state
    for (const effect of step.effects) this.#perform(effect)
    const next = this.#waiting[0]
    if (next !== undefined && hasRoom(this.#state, next.unit.bytes)) {
      this.#waiting.shift()
      next.taken()
      this.#step({ type: 'emit', unit: next.unit })
    }
  }

  #perform(effect: LineEffect): void {
    switch (effect.type) {
      case 'events': {
        const events = effect.events.map((json) => JSON.parse(json) as object)
        return this.#socket.send({ type: 'events', after: effect.after, cursor: effect.cursor, events })
      }
      case 'result':
        return this.#socket.send({ type: 'result', after: effect.after, outcome: effect.outcome })
      case 'deltas':
        return
      case 'flush_timer':
        if (this.#flush !== undefined) this.#flush.cancelled = true
        this.#flush = this.#agent.kernel.after(effect.inMs, this.#agent.life, () => this.#step({ type: 'flush' }))
        return
      case 'confirmed':
        return this.#socket.confirmed()
      case 'restart':
        this.#forget()
        return this.#handlers.restart({ received: effect.received, cursor: effect.cursor })
      case 'command':
        return this.#handlers.command(effect.command)
      case 'finished':
        this.close()
        return this.#handlers.finished(effect.how)
      case 'refused':
        this.#socket.park()
        return this.#handlers.refused()
      case 'drop':
        return this.#socket.drop(effect.code, effect.reason)
    }
  }
}
