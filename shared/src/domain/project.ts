/** What a project may be called: a DNS label. Its id comes from a cluster too, so every such word is held against this before it is believed. */
export const projectIdPattern: RegExp = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/
export const isProjectId = (id: string | null): id is string => id !== null && projectIdPattern.test(id)

/**
 * A codebase with a pod of its own in a cluster. It belongs to that cluster by an operator's word: registered by hand, or named in the key with
 * which the cluster first reported the pod.
 */
export interface Project {
  readonly id: string
  readonly cluster_id: string
  /** The pod of the project as last reported; null when it is gone. */
  readonly pod: string | null
  /** At most this many of its tasks are leased or running at once. The limit is exact. */
  readonly max_running: number
  /** Its share of the pool beside other projects that have work queued: two of weight 100 get the same, 200 gets twice that. */
  readonly weight: number
  /** At most this many of its tasks may be queued; more are refused. */
  readonly max_queued: number
  /** While it is paused, no task of its lane starts; running tasks go on. */
  readonly paused: boolean
  /** Whether its tasks may use `permission_mode: bypassPermissions`. The operator sets it on the pod; a caller cannot. */
  readonly allow_bypass_permissions: boolean
  /**
   * Whether its tasks may run in workers. Tasks of all projects there are one user of one machine and can read and change what is each other's,
   * so only a caller of every project says so.
   */
  readonly allow_pool: boolean
  readonly created_at: number
  readonly updated_at: number
}

export const projectDefaults = { max_running: 4, weight: 100, max_queued: 100_000, paused: false } as const

/** What an operator may set, and within which bounds. */
export const projectLimits = {
  max_running: { min: 0, max: 10_000 },
  weight: { min: 1, max: 1_000 },
  max_queued: { min: 0, max: 10_000_000 },
} as const
export type ProjectChange = Partial<Pick<Project, 'max_running' | 'weight' | 'max_queued' | 'paused' | 'allow_pool'>>
