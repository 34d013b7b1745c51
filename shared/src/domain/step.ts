// A pure state machine returns the next state and its effects, in order. Its driver performs the effects.
export interface Step<State, Effect> {
  readonly state: State
  readonly effects: readonly Effect[]
}

/** A step's other inputs: `now` in milliseconds (wall or monotonic clock, as the machine says); `random`, uniform in [0, 1), drawn for this step. */
export interface StepContext {
  readonly now: number
  readonly random: number
}
