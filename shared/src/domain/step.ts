// A pure state machine answers the next state and what is to be done, in order. Whoever drives it performs the effects.
export interface Step<State, Effect> {
  readonly state: State
  readonly effects: readonly Effect[]
}

/** What a step may know of the world: `now` in milliseconds (wall clock or monotonic, as the machine says), `random` uniform in [0, 1), drawn for this step. */
export interface StepContext {
  readonly now: number
  readonly random: number
}
