// Drives a pure machine: each input is one step, what the step changed is stored, then its effects are performed in their order. What an
// effect asks outside comes back as the next input. Both drivers stand on this.

import type { Step, StepContext } from '@rdev/shared/domain/step'
import type { Deps } from '../ports/deps.ts'
import type { ObjectPlatform } from './platform.ts'

export interface Driven<State, Input, Effect> {
  readonly initial: State
  step(state: State, input: Input, context: StepContext): Step<State, Effect>
  /** Stores what the step changed. If it throws, the state stays as it was and no effect is performed. */
  save(after: State, before: State, effects: readonly Effect[]): void
  perform(effect: Effect): void
  /** In every line of the object's log. */
  readonly fields: Readonly<Record<string, unknown>>
  /** Told of each step before it is stored: for a trace. */
  readonly onStep?: ((input: Input, effects: readonly Effect[]) => void) | undefined
}

export type LoopDeps = Pick<Deps, 'clock' | 'random' | 'log'>

export class MachineLoop<State, Input, Effect> {
  readonly #platform: Pick<ObjectPlatform<unknown, unknown, unknown>, 'setAlarm' | 'alarmAt'>
  readonly #deps: LoopDeps
  readonly #driven: Driven<State, Input, Effect>
  /** What waits for an answer from outside; the alarm waits for it too. */
  readonly #pending = new Set<Promise<void>>()
  #state: State

  constructor(
    platform: Pick<ObjectPlatform<unknown, unknown, unknown>, 'setAlarm' | 'alarmAt'>,
    deps: LoopDeps,
    driven: Driven<State, Input, Effect>,
  ) {
    this.#platform = platform
    this.#deps = deps
    this.#driven = driven
    this.#state = driven.initial
  }

  get state(): State {
    return this.#state
  }

  step(input: Input): void {
    const driven = this.#driven
    const { state, effects } = driven.step(this.#state, input, { now: this.#deps.clock.now(), random: this.#deps.random.chance() })
    driven.onStep?.(input, effects)
    driven.save(state, this.#state, effects)
    this.#state = state
    for (const effect of effects) driven.perform(effect)
  }

  /** Asks outside and feeds the answer, or that there was none, back into the machine; `after` follows on an answer. */
  ask<Answer extends Input>(
    phrase: string,
    question: () => Promise<Answer>,
    failed: Input,
    { fields, after }: { readonly fields?: () => Readonly<Record<string, unknown>>; readonly after?: (answer: Answer) => void } = {},
  ): void {
    this.#later(async () => {
      let answer: Answer
      try {
        answer = await question()
      } catch (error) {
        this.log('warn', phrase, { ...fields?.(), error: String(error) })
        return this.step(failed)
      }
      this.step(answer)
      after?.(answer)
    })
  }

  /** Tells somebody what he would find out by himself, later; a failure is only logged. */
  hint(phrase: string, tell: () => Promise<void>, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#later(async () => {
      try {
        await tell()
      } catch (error) {
        this.log('warn', phrase, { ...fields, error: String(error) })
      }
    })
  }

  /** `wantedAt`: when the object must be woken after this alarm; null: not at all. */
  async alarm(phrase: string, input: () => Input, wantedAt: () => number | null): Promise<void> {
    try {
      this.step(input())
      await Promise.all(this.#pending)
    } catch (error) {
      this.log('error', phrase, { error: String(error) })
    } finally {
      // An alarm that throws is given up after six times; one that is not set is given up at once.
      const at = wantedAt()
      if (at !== null && (await this.#platform.alarmAt()) === null) await this.#platform.setAlarm(at)
    }
  }

  log(level: 'warn' | 'error', phrase: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#deps.log(level, phrase, { ...this.#driven.fields, ...fields })
  }

  #later(work: () => Promise<void>): void {
    const promise = work().finally(() => this.#pending.delete(promise))
    this.#pending.add(promise)
  }
}
