// The contract suite in a restricted pod. `cut` resets the connections between the host and the API server.

import { apiProxy } from '../../../../e2e/cluster/proxy.ts'
import { createClusterPods } from '../../../../e2e/cluster/pods.ts'
import { podHostContract } from '../contract/contract.ts'
import { createKubernetesHost } from './host.ts'

podHostContract('kubernetes', async () => {
  const namespace = 'rdev-test-contract'
  const pods = await createClusterPods({ namespace })
  const proxy = await apiProxy(pods.agentKubeConfig)
  const host = createKubernetesHost({ namespace, log: () => {}, kubeConfig: proxy.kubeConfig })
  return {
    host,
    pod: pods.project,
    cut: proxy.cut,
    async close() {
      await host.close()
      await proxy[Symbol.asyncDispose]()
      await pods.remove()
    },
  }
})
