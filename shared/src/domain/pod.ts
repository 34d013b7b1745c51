import type { AgentProvider } from './code-agent.ts'

export const podRoles = ['project', 'worker'] as const
export type PodRole = (typeof podRoles)[number]

/** A pod as the agent sees it now. `uid` distinguishes a pod from a later one with the same name. */
export interface Pod {
  readonly name: string
  readonly uid: string
  readonly role: PodRole
  /** For role `project`: the project that it belongs to. */
  readonly project_id: string | null
  readonly ready: boolean
  /** How many attempts may run in it at once. */
  readonly slots: number
  readonly providers: readonly AgentProvider[]
  readonly allow_bypass_permissions: boolean
  /** Whether the settings in a repository may say where the model is and which servers start. The operator sets it; absent: no. */
  readonly trust_repository_settings?: boolean | undefined
  /** Why it is not ready, in a few words, where the agent knows. */
  readonly detail?: string | undefined
}

export const podLabels = {
  project: 'rdev.orchard9.ai/project',
  projectId: 'rdev.orchard9.ai/project-id',
  role: 'rdev.orchard9.ai/role',
  slots: 'rdev.orchard9.ai/slots',
  bypass: 'rdev.orchard9.ai/allow-bypass-permissions',
  trust: 'rdev.orchard9.ai/trust-repository-settings',
} as const

/** Free slots of a pod: its slots less the attempts that run there; none while it is not ready. */
export const freeSlots = (pod: Pod, running: number): number => (pod.ready ? Math.max(0, pod.slots - running) : 0)
