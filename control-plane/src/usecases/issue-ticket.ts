import type { Caller } from '@rdev/shared/domain/api-key'
import type { Deps } from '../ports/deps.ts'
import { getTask } from './wait-for-task.ts'

/** Long enough to open an EventSource, and too short to be useful to a thief who reads URLs in logs. */
export const ticketLifeMs = 60_000

/** A stream ticket opens one task's events, with the rights that its key has at the time of use. Throws DomainError NOT_FOUND. */
export async function issueTicket(
  { tasks, tokens, clock }: Pick<Deps, 'tasks' | 'tokens' | 'clock'>,
  caller: Caller,
  taskId: string,
): Promise<{ ticket: string; expires_at: number }> {
  await getTask({ tasks }, taskId, caller.project_ids)
  const expires_at = clock.now() + ticketLifeMs
  const ticket = await tokens.sign({ kind: 'stream', task_id: taskId, key_id: caller.key_id, expires_at })
  return { ticket, expires_at }
}
