import type { Task, TaskKind, TaskSpec, TaskStatus, TaskTarget } from '@rdev/shared/domain/task'
import type { Actor, KeyActor, ProjectFilter } from './actor.ts'
import type { Page, PageRequest } from './page.ts'

export interface NewTask {
  readonly id: string
  readonly spec: TaskSpec
  /** Its key is the row's `created_by`. Of its own in each, since requests insert together. */
  readonly actor: KeyActor
  readonly created_at: number
  /** Of kind agent without `session_id` in the request: `spec.session_id` is new and its row is inserted in the same statement. */
  readonly new_session: boolean
  readonly retry_of: string | null
}

/** `repeated`: a task of that id was there already, and is answered as it is now: creating is safe to repeat with the same id. */
export type Inserted =
  | { readonly task: Task; readonly repeated: boolean }
  | { readonly refused: 'no_project' | 'no_session' | 'queue_full' }

/**
 * Why the head of a queue is not running. `due`: nothing is in its way, it goes to the next free slot. `later`: before its
 * `run_after`. `max_running`, `paused`: its lane. `workspace`, `session`: another live or earlier task holds it.
 */
export type WaitReason = 'due' | 'later' | 'max_running' | 'paused' | 'workspace' | 'session'

export interface QueueLane {
  readonly project_id: string
  readonly cluster_id: string
  readonly depth: number
  /** Leased or running. */
  readonly live: number
  readonly max_running: number
  readonly weight: number
  readonly max_queued: number
  readonly paused: boolean
  /** When the task that has waited longest was created. */
  readonly oldest_at: number
  readonly priorities: readonly { readonly priority: number; readonly depth: number }[]
  /** First by the queue's order. `by`: the live task that holds what it waits for, where one does. */
  readonly head: {
    readonly task_id: string
    readonly reason: WaitReason
    readonly target: TaskTarget
    /** The pod that holds its conversation: it goes there or nowhere. Null: any of its target. */
    readonly session_pod: string | null
    readonly run_after: number
    readonly by: string | null
  }
}

/** The rows of tasks, as routes and use cases see them. */
export interface TaskStore {
  /**
   * One statement for all of them, each answered on its own, in their order; the cluster comes from the project's row. A session that
   * one of them continues must exist; one that begins keeps its task's workspace. The row's `run_after` is now or, if later, the spec's. `max_queued` counts what was queued before this call and what of this call comes first.
   */
  insert(tasks: readonly NewTask[]): Promise<readonly Inserted[]>
  get(id: string, projects: ProjectFilter): Promise<Task | undefined>
  list(
    filter: { projects: ProjectFilter; project_id?: string; session_id?: string; status?: TaskStatus; kind?: TaskKind },
    page: PageRequest,
  ): Promise<Page<Task>>
  /**
   * Applies a pure transition, fenced by status and attempt; retried if the row moved meanwhile. Undefined if there is no such task.
   * Throws DomainError SERVICE_UNAVAILABLE if the row moved at every try, and whatever `step` throws.
   */
  change(id: string, actor: Actor, step: (task: Task) => Task): Promise<{ before: Task; after: Task } | undefined>
  /** The lanes that have something queued, deepest first, at most `limit`. */
  queue(filter: { projects: ProjectFilter; project_id?: string }, limit: number): Promise<readonly QueueLane[]>
}
