import type { Hubs } from '../ports.ts'
import type { ClusterHubObject } from './cluster-hub.ts'

/** The port on the objects. */
export const createHubs = (namespace: DurableObjectNamespace<ClusterHubObject>): Hubs => ({
  async poke(clusterId) {
    await namespace.getByName(clusterId).poke()
  },
  async status(clusterId) {
    return namespace.getByName(clusterId).status()
  },
})
