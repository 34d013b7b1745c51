import type { Task, TaskKind, TaskSpec, TaskStatus, TaskTarget } from '@rdev/shared/domain/task'
import type { Actor, KeyActor, ProjectFilter } from './actor.ts'
import type { Page, PageRequest } from './page.ts'

export interface NewTask {
  readonly id: string
  readonly spec: TaskSpec
  /** Its key becomes the row's `created_by`. Each task has its own actor, because several requests may insert in one call. */
  readonly actor: KeyActor
  readonly created_at: number
  /** True for an agent task whose request had no `session_id`: `spec.session_id` is new, and the same statement inserts the session's row. */
  readonly new_session: boolean
  readonly retry_of: string | null
}

/**
 * `repeated`: a task with that id existed already; it is answered as it is now, so inserting is safe to repeat with the same id. `no_pool`: its
 * target is the pool, which its project may not use.
 */
export type Inserted =
  | { readonly task: Task; readonly repeated: boolean }
  | { readonly refused: 'no_project' | 'no_session' | 'no_pool' | 'queue_full' }

/**
 * Why the head of a lane is not running. `due`: nothing blocks it, and it gets the next free slot. `later`: its `run_after` has not come.
 * `max_running`, `paused`: its lane may start nothing. `pool_not_allowed`: its target is the pool, which its project may not use. `workspace`, `session`: another live or earlier task holds it.
 */
export type WaitReason = 'due' | 'later' | 'max_running' | 'paused' | 'pool_not_allowed' | 'workspace' | 'session'

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
  readonly allow_pool: boolean
  /** When the oldest queued task was created. */
  readonly oldest_at: number
  readonly priorities: readonly { readonly priority: number; readonly depth: number }[]
  /** The first task in the queue's order. `by`: the live task that holds what it waits for; null where there is none. */
  readonly head: {
    readonly task_id: string
    readonly reason: WaitReason
    readonly target: TaskTarget
    /** The pod that holds its conversation: the task can run only there. Null: any pod of its target. */
    readonly session_pod: string | null
    readonly run_after: number
    readonly by: string | null
  }
}

/** The rows of tasks, as routes and use cases see them. */
export interface TaskStore {
  /**
   * Inserts all tasks in one statement, and answers each on its own, in their order. The cluster comes from the project's row. A session that
   * a task continues must exist; a new session keeps its task's workspace. The row's `run_after` is now or, if later, the spec's. `max_queued`
   * counts what was queued before this call and the tasks of this call that come earlier in the list.
   */
  insert(tasks: readonly NewTask[]): Promise<readonly Inserted[]>
  get(id: string, projects: ProjectFilter): Promise<Task | undefined>
  list(
    filter: { projects: ProjectFilter; project_id?: string; session_id?: string; status?: TaskStatus; kind?: TaskKind },
    page: PageRequest,
  ): Promise<Page<Task>>
  /**
   * Applies a pure transition, fenced by status and attempt, and repeats it if the row changed meanwhile. Undefined if there is no such task.
   * Throws DomainError SERVICE_UNAVAILABLE if the row changed at every try, and whatever `step` throws.
   */
  change(id: string, actor: Actor, step: (task: Task) => Task): Promise<{ before: Task; after: Task } | undefined>
  /** The lanes that have something queued, deepest first, at most `limit`. */
  queue(filter: { projects: ProjectFilter; project_id?: string }, limit: number): Promise<readonly QueueLane[]>
}
