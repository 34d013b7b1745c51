// The thin shell of line-machine.ts: one attempt's line to its task's log.

import { performance } from 'node:perf_hooks'
import type { Cursor } from '@rdev/shared/domain/attempt'
import type { EventData } from '@rdev/shared/domain/event'
import type { TaskOutcome } from '@rdev/shared/domain/task'
import { decodeFrame, encodeFrame } from '@rdev/shared/wire/codec'
import { closeCodes, maxUnackedBytes } from '@rdev/shared/wire/limits'
import { taskDownSchema } from '@rdev/shared/wire/task-frames'
import type { EncodedEvent, LogPosition, OpenLine, TaskLine, TaskLineHandlers } from '../ports.ts'
import { Connection, socketUrl } from './connection.ts'
import type { LineEffect, LineInput, LineState, Unit } from './line-machine.ts'
import { hasRoom, newLine, stepLine } from './line-machine.ts'
import { spreadMs, type ReconnectGroup } from './reconnect-group.ts'

export const lineOpener =
  (baseUrl: string, group: ReconnectGroup): OpenLine =>
  (ref, at, handlers) =>
    new SocketLine(socketUrl(baseUrl, `/v1/tasks/${ref.task_id}/attempts/${ref.attempt}/connect`), ref.token, at, handlers, group)

interface Waiting {
  readonly unit: Unit
  readonly taken: () => void
}

class SocketLine implements TaskLine {
  readonly #connection: Connection
  readonly #handlers: TaskLineHandlers
  #token: string
  #state: LineState
  #flushTimer: NodeJS.Timeout | undefined
  /** Emitted while the window was full, in order. Callers wait, so it holds one unit per caller. */
  readonly #waiting: Waiting[] = []
  readonly #whenFlushed: (() => void)[] = []

  constructor(url: string, token: string, at: LogPosition | undefined, handlers: TaskLineHandlers, group: ReconnectGroup) {
    this.#handlers = handlers
    this.#token = token
    this.#state = newLine(at)
    this.#connection = new Connection({
      url,
      bearer: () => this.#token,
      group,
      spreadMs,
      up: () => this.#step({ type: 'opened' }),
      down: (code) => this.#step({ type: 'lost', code }),
      frame: (text) => this.#frame(text),
    })
    this.#connection.dial()
  }

  emit(events: readonly EncodedEvent[], cursor: Cursor): Promise<void> {
    const bytes = events.reduce((sum, event) => sum + event.bytes, 0)
    const unit: Unit = { events: events.map((event) => event.json), cursor, bytes }
    if (this.#waiting.length === 0 && hasRoom(this.#state, bytes)) {
      this.#step({ type: 'emit', unit })
      return Promise.resolve()
    }
    return new Promise((taken) => this.#waiting.push({ unit, taken }))
  }

  delta(data: EventData): void {
    // Not stored, so not worth queueing behind a slow network.
    if (this.#connection.bufferedBytes < maxUnackedBytes) this.#step({ type: 'delta', data })
  }

  result(outcome: TaskOutcome): void {
    this.#step({ type: 'result', outcome })
  }

  token(token: string): void {
    this.#token = token
    this.#connection.dial()
  }

  flushed(maxMs?: number): Promise<void> {
    if (this.#isFlushed()) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = maxMs === undefined ? undefined : setTimeout(resolve, maxMs)
      this.#whenFlushed.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  close(): void {
    clearTimeout(this.#flushTimer)
    this.#connection.stop()
    this.#forget()
  }

  #isFlushed(): boolean {
    return this.#state.units.length === 0 && this.#waiting.length === 0
  }

  /** Lets go of everything that waits: nobody reads here any more. */
  #forget(): void {
    for (const { taken } of this.#waiting.splice(0)) taken()
    for (const resolve of this.#whenFlushed.splice(0)) resolve()
  }

  #frame(text: string): void {
    const decoded = decodeFrame(taskDownSchema, text)
    if (decoded.ok) this.#step({ type: 'frame', frame: decoded.frame })
    else if (decoded.reason !== 'unknown_type') this.#connection.drop(closeCodes.malformed, `frame is ${decoded.reason}`)
  }

  #step(input: LineInput): void {
    const step = stepLine(this.#state, input, performance.now())
    this.#state = step.state
    for (const effect of step.effects) this.#perform(effect)
    if (this.#waiting.length > 0 && hasRoom(this.#state, this.#waiting[0]!.unit.bytes)) {
      const { unit, taken } = this.#waiting.shift()!
      taken()
      this.#step({ type: 'emit', unit })
    }
    if (this.#whenFlushed.length > 0 && this.#isFlushed()) for (const resolve of this.#whenFlushed.splice(0)) resolve()
  }

  #perform(effect: LineEffect): void {
    switch (effect.type) {
      case 'events':
        // Each event was encoded once, when it was emitted.
        this.#connection.send(
          `{"type":"events","after":${effect.after},"cursor":${JSON.stringify(effect.cursor)},"events":[${effect.events.join(',')}]}`,
        )
        return
      case 'result':
        return this.#connection.send(encodeFrame({ type: 'result', after: effect.after, outcome: effect.outcome }))
      case 'deltas':
        return this.#connection.send(
          encodeFrame({ type: 'deltas', deltas: effect.deltas.map((data) => ({ type: 'message.delta', data })) }),
        )
      case 'flush_timer':
        clearTimeout(this.#flushTimer)
        this.#flushTimer = setTimeout(() => this.#step({ type: 'flush' }), effect.inMs)
        return
      case 'confirmed':
        return this.#connection.confirmed()
      case 'restart':
        this.#forget()
        return this.#handlers.restart({ received: effect.received, cursor: effect.cursor })
      case 'command':
        return this.#handlers.command(effect.command)
      case 'finished':
        this.close()
        return this.#handlers.finished(effect.how)
      case 'refused':
        this.#connection.park()
        return this.#handlers.refused()
      case 'drop':
        return this.#connection.drop(effect.code, effect.reason)
    }
  }
}
