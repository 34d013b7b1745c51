// What a process will do: written into its task's command, read by the model pod. Part of the world, not of the system.

export interface ProcessPlan {
  /** Pieces of output, each after a pause; a piece need not be a whole line. */
  readonly writes: readonly { readonly afterMs: number; readonly stream: 'stdout' | 'stderr'; readonly text: string }[]
  readonly endsAfterMs: number
  readonly exitCode: number
  /** A child that goes on for so long after the main process has ended. */
  readonly childMs: number
  readonly ignores: 'nothing' | 'int' | 'int and term'
  /** What a code agent makes of a failure. */
  readonly fails: 'RATE_LIMITED' | 'AGENT_ERROR' | undefined
}

/** One for each attempt; the last stands for all that follow. */
export const encodePlans = (plans: readonly ProcessPlan[]): string => JSON.stringify(plans)
export function planOf(command: string, attempt: number): ProcessPlan {
  const plans = JSON.parse(command) as ProcessPlan[]
  return plans[Math.min(attempt, plans.length) - 1]!
}
