/** A codebase with a home in a cluster: its own pod. Comes into being when its cluster first reports the pod. */
export interface Project {
  readonly id: string
  readonly cluster_id: string
  /** The pod of the project as last reported; null when it is gone. */
  readonly pod: string | null
  readonly max_running: number
  /** Lets tasks ask for `permission_mode: bypassPermissions`. Set by the operator on the pod, never by a caller. */
  readonly allow_bypass_permissions: boolean
  readonly created_at: number
  readonly updated_at: number
}
