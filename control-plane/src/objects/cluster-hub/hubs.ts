import type { Hubs } from '../../ports/hubs.ts'
import type { Randomness } from '../../ports/randomness.ts'
import type { ClusterHubObject } from './object.ts'
import { pause } from '../pause.ts'
import { repeatPoke } from './repeat-poke.ts'

const never = new AbortController().signal

/** The port `Hubs`, on the durable objects. */
export const createHubs = (namespace: DurableObjectNamespace<ClusterHubObject>, random: Pick<Randomness, 'chance'>): Hubs => ({
  poke: (clusterId) =>
    repeatPoke(
      async () => namespace.getByName(clusterId).poke(),
      (ms) => pause(ms, never),
      random.chance,
    ),
  async projectRegistered(clusterId) {
    await namespace.getByName(clusterId).projectRegistered()
  },
  async keyRevoked(clusterId, keyId) {
    await namespace.getByName(clusterId).keyRevoked(keyId)
  },
  async status(clusterId) {
    return namespace.getByName(clusterId).status()
  },
})
