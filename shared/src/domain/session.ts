import type { AgentProvider } from './code-agent.ts'

/** A conversation that several tasks continue. Its files are in one pod, the session's pod, so its tasks run there. */
export interface Session {
  readonly id: string
  readonly project_id: string
  readonly provider: AgentProvider
  /** The workspace of its first task. Its later tasks stay in it, because a conversation is about one working copy. */
  readonly workspace: string | null
  /** The provider's id of the conversation; null until the first task has reported it. */
  readonly provider_session_id: string | null
  readonly pod: string | null
  readonly last_task_id: string | null
  readonly created_at: number
  readonly updated_at: number
}
