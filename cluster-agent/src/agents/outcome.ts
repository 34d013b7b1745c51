// The result of a run where the exit record alone decides it; otherwise the provider's output decides.

import type { ExitRecord } from '@rdev/shared/domain/attempt'
import type { AgentResult } from '@rdev/shared/domain/code-agent'

/** Undefined if the process ended by itself, or was stopped because its code agent needed it no more. */
export function endedFromOutside(exit: ExitRecord): AgentResult | undefined {
  const { exit_code } = exit
  switch (exit.reason) {
    case 'cancelled':
      return { status: 'cancelled', error_code: 'CANCELLED', error: 'cancelled while it ran', exit_code }
    case 'timeout':
      return { status: 'timed_out', error_code: 'TIMEOUT', error: 'the time limit of the task was reached', exit_code }
    case 'orphaned':
      return { status: 'failed', error_code: 'LOST', error: 'no agent followed the process for too long, so it was ended', exit_code }
    case 'supervisor_died':
      return { status: 'failed', error_code: 'LOST', error: 'the supervisor was killed; the output is incomplete', exit_code }
    case 'container_gone':
      return { status: 'failed', error_code: 'LOST', error: 'its container is gone; the output is incomplete', exit_code }
    default:
      return undefined
  }
}
