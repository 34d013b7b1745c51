import type { AgentProvider } from './code-agent.ts'

/** A conversation that several tasks continue. It lives in the home of one pod, so its tasks go back there. */
export interface Session {
  readonly id: string
  readonly project_id: string
  readonly provider: AgentProvider
  /** That of its first task: a conversation belongs to the directory that it is about, so its tasks stay in that working copy. */
  readonly workspace: string | null
  /** Null until the first task of the session has told it. */
  readonly provider_session_id: string | null
  readonly pod: string | null
  readonly last_task_id: string | null
  readonly created_at: number
  readonly updated_at: number
}
