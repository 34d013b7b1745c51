// The plan of a process: it is in its task's command, and the model pod reads it. It is part of the world, not of the system.

export interface ProcessPlan {
  /** Pieces of output, each after a pause. A piece may be less than a line. */
  readonly writes: readonly { readonly afterMs: number; readonly stream: 'stdout' | 'stderr'; readonly text: string }[]
  readonly endsAfterMs: number
  readonly exitCode: number
  /** How long a child runs on after the main process has ended. */
  readonly childMs: number
  readonly ignores: 'nothing' | 'int' | 'int and term'
  /** How the code agent reports a failure. */
  readonly fails: 'RATE_LIMITED' | 'AGENT_ERROR' | undefined
}

/** A plan for each attempt; the last is also that of all later ones. */
export const encodePlans = (plans: readonly ProcessPlan[]): string => JSON.stringify(plans)
export function planOf(command: string, attempt: number): ProcessPlan {
  const plans = JSON.parse(command) as ProcessPlan[]
  return plans[Math.min(attempt, plans.length) - 1]!
}
