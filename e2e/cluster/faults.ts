// Faults of the cluster's own components, by the throw-away cluster's script. Without the script (a KUBECONFIG of another cluster) there are none.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const script = process.env.RDEV_CLUSTER_SCRIPT ?? fileURLToPath(new URL('../../../shared/cluster/cluster', import.meta.url))
const run = promisify(execFile)

export type Component = 'apiserver' | 'kubelet' | 'containerd' | 'controllers' | 'scheduler' | 'etcd'

export const canBreakCluster = existsSync(script)

/** Resolves when the component's process is gone. */
export async function stopComponent(component: Component, signal: 'TERM' | 'KILL' = 'KILL'): Promise<void> {
  await run(script, ['stop', component, signal])
}

/** Resolves when the component answers again, as far as that can be asked. */
export async function startComponent(component: Component): Promise<void> {
  await run(script, ['start', component])
  if (component !== 'apiserver') return
  for (let tries = 0; ; tries += 1) {
    try {
      await run(script, ['kubectl', 'get', '--raw', '/readyz', '--request-timeout=2s'])
      break
    } catch (error) {
      if (tries === 200) throw error
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }
  // A scheduler whose API server was killed may find its cache corrupted later and exit. Elsewhere the kubelet starts it again; here nobody does.
  await run(script, ['stop', 'scheduler', 'KILL'])
  await run(script, ['start', 'scheduler'])
}
