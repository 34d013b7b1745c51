// The agent's service account with the rights of `kustomize/base/agent-rights.yaml`. The suite runs with these rights, so a missing right fails
// here first.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { CoreV1Api, KubeConfig, KubernetesObjectApi, loadAllYaml, type KubernetesObject } from '@kubernetes/client-node'

const source = new URL('../../kustomize/base/agent-rights.yaml', import.meta.url)
const account = 'cluster-agent'

export interface AgentRights {
  readonly kubeConfig: KubeConfig
  /** The same as a file, for another program's KUBECONFIG. */
  readonly file: string
  /** Removes the file. */
  forget(): Promise<void>
}

export async function grantAgentRights(admin: KubeConfig, namespace: string): Promise<AgentRights> {
  const objects = KubernetesObjectApi.makeApiClient(admin)
  for (const object of loadAllYaml(await readFile(source, 'utf8')) as KubernetesObject[]) {
    const subjects = 'subjects' in object ? { subjects: [{ kind: 'ServiceAccount', name: account, namespace }] } : {}
    const wanted = { ...object, ...subjects, metadata: { ...object.metadata, name: object.metadata?.name ?? account, namespace } }
    // A role of an earlier run may have other rights.
    await objects.delete(wanted).catch(() => {})
    await objects.create(wanted)
  }
  const { status } = await admin.makeApiClient(CoreV1Api).createNamespacedServiceAccountToken({
    namespace,
    name: account,
    body: { spec: { audiences: [], expirationSeconds: 6 * 60 * 60 } },
  })
  const cluster = admin.getCurrentCluster()
  if (!status?.token || !cluster) throw new Error('the service account got no token')

  const kubeConfig = new KubeConfig()
  kubeConfig.loadFromOptions({
    clusters: [cluster],
    users: [{ name: account, token: status.token }],
    contexts: [{ name: account, cluster: cluster.name, user: account, namespace }],
    currentContext: account,
  })
  const directory = await mkdtemp(`${tmpdir()}/rdev-kubeconfig-`)
  const file = `${directory}/config`
  await writeFile(file, kubeConfig.exportConfig(), { mode: 0o600 })
  return { kubeConfig, file, forget: async () => await rm(directory, { recursive: true, force: true }) }
}
