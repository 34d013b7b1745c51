// The driver of task-line-machine.ts: one attempt's line to its task's log.

import type { Cursor } from '@rdev/shared/domain/attempt'
import type { EventData } from '@rdev/shared/domain/event'
import type { TaskOutcome } from '@rdev/shared/domain/task'
import { decodeFrame, encodeFrame } from '@rdev/shared/wire/codec'
import { maxUnackedBytes } from '@rdev/shared/wire/limits'
import type { TaskDown } from '@rdev/shared/wire/task-frames'
import { taskDownSchema } from '@rdev/shared/wire/task-frames'
import { drive, NamedTimers } from '../drive.ts'
import type { EncodedEvent, LogPosition, OpenLine, TaskLine, TaskLineHandlers } from '../ports.ts'
import { spreadMs } from './reconnect-group.ts'
import type { SocketPlatform } from './reconnecting-socket.ts'
import { ReconnectingSocket } from './reconnecting-socket.ts'
import type { LineEffect, LineInput, Unit } from './task-line-machine.ts'
import { hasRoom, newLine, stepLine } from './task-line-machine.ts'

export const lineOpener =
  (platform: SocketPlatform): OpenLine =>
  (ref, at, handlers) =>
    new SocketLine(platform, `/v1/tasks/${ref.task_id}/attempts/${ref.attempt}/connect`, ref.token, at, handlers)

interface Waiting {
  readonly unit: Unit
  readonly taken: () => void
}

class SocketLine implements TaskLine {
  readonly #socket: ReconnectingSocket<TaskDown>
  readonly #handlers: TaskLineHandlers
  readonly #timers: NamedTimers<'flush'>
  readonly #machine
  #token: string
  /** Units that were emitted while the window was full, in order. Callers await `emit`, so each has at most one here. */
  readonly #waiting: Waiting[] = []
  readonly #whenFlushed: (() => void)[] = []

  constructor(platform: SocketPlatform, path: string, token: string, at: LogPosition | undefined, handlers: TaskLineHandlers) {
    this.#handlers = handlers
    this.#token = token
    this.#timers = new NamedTimers(platform.timers)
    this.#machine = drive(platform.timers, stepLine, newLine(at), (effect: LineEffect) => this.#perform(effect))
    this.#socket = new ReconnectingSocket(platform, {
      path,
      bearer: () => this.#token,
      spreadMs,
      decode: (text) => decodeFrame(taskDownSchema, text),
      up: () => this.#step({ type: 'opened' }),
      down: (code) => this.#step({ type: 'lost', code }),
      frame: (frame) => this.#step({ type: 'frame', frame }),
    })
    this.#socket.dial()
  }

  emit(events: readonly EncodedEvent[], cursor: Cursor): Promise<void> {
    const bytes = events.reduce((sum, event) => sum + event.bytes, 0)
    const unit: Unit = { events: events.map((event) => event.json), cursor, bytes }
    if (this.#waiting.length === 0 && hasRoom(this.#machine.state, bytes)) {
      this.#step({ type: 'emit', unit })
      return Promise.resolve()
    }
    return new Promise((taken) => this.#waiting.push({ unit, taken }))
  }

  delta(data: EventData): void {
    // Deltas are not stored, so on a slow network they are dropped instead of queued.
    if (this.#socket.bufferedBytes < maxUnackedBytes) this.#step({ type: 'delta', data })
  }

  result(outcome: TaskOutcome): void {
    this.#step({ type: 'result', outcome })
  }

  token(token: string): void {
    this.#token = token
    this.#socket.dial()
  }

  flushed(): Promise<void> {
    if (this.#isFlushed()) return Promise.resolve()
    return new Promise((resolve) => this.#whenFlushed.push(resolve))
  }

  close(): void {
    this.#timers.cancelAll()
    this.#socket.stop()
    this.#forget()
  }

  #isFlushed(): boolean {
    return this.#machine.state.units.length === 0 && this.#waiting.length === 0
  }

  /** Resolves everything that waits: its units are no longer wanted. */
  #forget(): void {
    for (const { taken } of this.#waiting.splice(0)) taken()
    for (const resolve of this.#whenFlushed.splice(0)) resolve()
  }

  #step(input: LineInput): void {
    this.#machine.step(input)
    if (this.#waiting.length > 0 && hasRoom(this.#machine.state, this.#waiting[0]!.unit.bytes)) {
      const { unit, taken } = this.#waiting.shift()!
      taken()
      this.#step({ type: 'emit', unit })
    }
    if (this.#whenFlushed.length > 0 && this.#isFlushed()) for (const resolve of this.#whenFlushed.splice(0)) resolve()
  }

  #perform(effect: LineEffect): void {
    switch (effect.type) {
      case 'events':
        // The events are JSON already: each was encoded once, when it was emitted.
        return this.#socket.send(
          `{"type":"events","after":${effect.after},"cursor":${JSON.stringify(effect.cursor)},"events":[${effect.events.join(',')}]}`,
        )
      case 'result':
        return this.#socket.send(encodeFrame({ type: 'result', after: effect.after, outcome: effect.outcome }))
      case 'deltas':
        return this.#socket.send(encodeFrame({ type: 'deltas', deltas: effect.deltas.map((data) => ({ type: 'message.delta', data })) }))
      case 'flush_timer':
        return this.#timers.set('flush', effect.inMs, () => this.#step({ type: 'flush' }))
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
