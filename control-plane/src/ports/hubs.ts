import type { Pod } from '@rdev/shared/domain/pod'

export interface HubStatus {
  readonly connected: boolean
  readonly agent_version: string | null
  readonly pods: readonly (Pod & { readonly running: number })[]
}

/** The hub of each cluster. */
export interface Hubs {
  /** Tells the hub that something may be claimable. Cheap; several pokes may become one. It may be lost: the row is the truth. */
  poke(clusterId: string): Promise<void>
  /** Tells the hub that a project of its cluster was registered: what the agent says of its pod counts now. It may be lost, until the next report. */
  projectRegistered(clusterId: string): Promise<void>
  /** Tells the hub that a key was revoked, so that its sockets close now. It may be lost: open sockets judge their key again within 60 s. */
  keyRevoked(clusterId: string, keyId: string): Promise<void>
  status(clusterId: string): Promise<HubStatus>
}
