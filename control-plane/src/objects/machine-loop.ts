// Drives a pure machine: each input is one step; what the step changed is stored; then its effects are performed in their order. The answer
// to an effect's question is a later input. Both drivers use this loop.

import type { Step, StepContext } from '@rdev/shared/domain/step'
import type { Failure } from '@rdev/shared/domain/failure'
import type { Deps } from '../ports/deps.ts'
import { failureOf } from '../ports/store-refusal.ts'
import type { ObjectPlatform } from './platform.ts'

export interface Driven<State, Input, Effect> {
  readonly initial: State
  step(state: State, input: Input, context: StepContext): Step<State, Effect>
  /** Stores what the step changed. If it throws, the state stays as it was and no effect is performed. */
  save(after: State, before: State, effects: readonly Effect[]): void
  perform(effect: Effect): void
  /** Fields of every record in the program's log. */
  readonly fields: Readonly<Record<string, unknown>>
  /** Called for each step before it is stored: for a trace. */
  readonly onStep?: ((input: Input, effects: readonly Effect[]) => void) | undefined
}

export type LoopDeps = Pick<Deps, 'clock' | 'random' | 'log'>

export class MachineLoop<State, Input, Effect> {
  readonly #platform: Pick<ObjectPlatform<unknown, unknown, unknown>, 'setAlarm' | 'alarmAt'>
  readonly #deps: LoopDeps
  readonly #driven: Driven<State, Input, Effect>
  /** Calls outside that are not answered yet; an alarm waits for them. */
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

  /** Asks outside, and feeds the answer into the machine, or what `failed` makes of the failure; `after` is called after an answer. */
  ask<Answer extends Input>(
    phrase: string,
    question: () => Promise<Answer>,
    failed: (why: Failure) => Input,
    { fields, after }: { readonly fields?: () => Readonly<Record<string, unknown>>; readonly after?: (answer: Answer) => void } = {},
  ): void {
    this.#later(async () => {
      let answer: Answer
      try {
        answer = await question()
      } catch (error) {
        const why = failureOf(error)
        // A refusal is a bug of ours or data that the wire should have refused. `away` mends itself.
        this.log(why === 'away' ? 'warn' : 'error', phrase, {
          ...fields?.(),
          ...(why !== 'away' && { refused: why }),
          error: String(error),
        })
        return this.step(failed(why))
      }
      this.step(answer)
      after?.(answer)
    })
  }

  /** Tells another part what it would find out later by itself; a failure is only logged. */
  hint(phrase: string, tell: () => Promise<void>, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#later(async () => {
      try {
        await tell()
      } catch (error) {
        this.log('warn', phrase, { ...fields, error: String(error) })
      }
    })
  }

  /** Handles an alarm; failures are logged. `wantedAt` answers when the object must be woken next; null: not at all. */
  async alarm(phrase: string, input: () => Input, wantedAt: () => number | null): Promise<void> {
    try {
      this.step(input())
      await Promise.all(this.#pending)
    } catch (error) {
      this.log('error', phrase, { error: String(error) })
    } finally {
      // The platform repeats an alarm that throws only six times, so a failed one is logged and set again instead.
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
