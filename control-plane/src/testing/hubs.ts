import type { Pod } from '@rdev/shared/domain/pod'
import type { Hubs } from '../ports/hubs.ts'

export interface MemoryHubs extends Hubs {
  /** Every poke there was, by cluster. */
  readonly pokes: string[]
  /** The cluster of every registration that was told. */
  readonly registered: string[]
  /** Every revocation that was told, with its cluster. */
  readonly revoked: (readonly [clusterId: string, keyId: string])[]
  /** An agent says hello; a second hello replaces the first. */
  connect(clusterId: string, agentVersion: string, pods: readonly (Pod & { readonly running: number })[]): void
  disconnect(clusterId: string): void
}

/** The hubs in memory: they know who is connected, and dispatch nothing. */
export function memoryHubs(): MemoryHubs {
  const agents = new Map<string, { agent_version: string; pods: readonly (Pod & { readonly running: number })[] }>()
  const pokes: string[] = []
  const registered: string[] = []
  const revoked: (readonly [string, string])[] = []
  return {
    pokes,
    registered,
    revoked,
    connect: (clusterId, agent_version, pods) => void agents.set(clusterId, { agent_version, pods }),
    disconnect: (clusterId) => void agents.delete(clusterId),
    async poke(clusterId) {
      pokes.push(clusterId)
    },
    async projectRegistered(clusterId) {
      registered.push(clusterId)
    },
    async keyRevoked(...told) {
      revoked.push(told)
    },
    async status(clusterId) {
      const agent = agents.get(clusterId)
      return agent ? { connected: true, ...agent } : { connected: false, agent_version: null, pods: [] }
    },
  }
}
