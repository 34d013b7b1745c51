// One row of the table of scenarios.

export interface Row {
  readonly scenarios: readonly number[]
  /** What happens, as a sentence. */
  readonly what: string
  /** What makes it harmless. */
  readonly mechanism: string
  readonly result: string
  readonly seconds: number
}

/** Names the folder of the results. */
export const resultsVariable = 'RDEV_CHAOS_RESULTS'
