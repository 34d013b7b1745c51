// The pods of one namespace that have rdev's labels, by list and watch. After any error it lists again, so no change is missed while the API
// server is away. It retries for ever.

import { isProjectId } from '@rdev/shared/domain/project'
import type { KubeConfig, V1Pod } from '@kubernetes/client-node'
import { reconnectDelay } from '@rdev/shared/domain/backoff'
import { agentProviders } from '@rdev/shared/domain/code-agent'
import { podLabels, type Pod } from '@rdev/shared/domain/pod'
import type { Log } from '../../ports.ts'

/** A label selector has no "or", so each has its own watch. A pod with both labels is a project's. */
const selectors = [`${podLabels.project}=true`, `${podLabels.role}=worker`] as const
const defaultSlots = 4
const maxSlots = 1_000
const listTimeoutMs = 15_000

export interface Inventory {
  pods(): readonly Pod[]
  /** The container of a pod to enter; undefined: Kubernetes chooses. */
  container(pod: string): string | undefined
}

interface InventoryOptions {
  readonly kubeConfig: () => Promise<KubeConfig>
  readonly namespace: string
  readonly log: Log
  readonly signal: AbortSignal
  readonly onPods: (pods: readonly Pod[]) => void
}

export function watchInventory({ kubeConfig, namespace, log, signal, onPods }: InventoryOptions): Inventory {
  const found = selectors.map(() => undefined as ReadonlyMap<string, V1Pod> | undefined)
  let pods: readonly Pod[] = []
  let told: string | undefined

  const tell = (): void => {
    // Wait for both lists: with one missing, its pods would seem to be gone.
    if (signal.aborted || found.includes(undefined)) return
    const byName = new Map(found.toReversed().flatMap((some) => [...(some ?? [])]))
    pods = [...byName.values()].flatMap((pod) => podOf(pod) ?? []).sort((a, b) => (a.name < b.name ? -1 : 1))
    const now = JSON.stringify(pods)
    if (now === told) return
    told = now
    onPods(pods)
  }

  selectors.forEach((selector, index) => {
    void followPods({ kubeConfig, namespace, selector, log, signal }, (some) => {
      found[index] = some
      tell()
    })
  })

  return {
    pods: () => pods,
    container: (name) =>
      found.flatMap((some) => some?.get(name) ?? [])[0]?.metadata?.annotations?.['kubectl.kubernetes.io/default-container'],
  }
}

interface FollowOptions extends Omit<InventoryOptions, 'onPods'> {
  readonly selector: string
}

async function followPods(options: FollowOptions, onChange: (pods: ReadonlyMap<string, V1Pod>) => void): Promise<void> {
  const { kubeConfig, namespace, selector, log, signal } = options
  let pods = new Map<string, V1Pod>()
  let version = ''
  let failures = 0

  while (!signal.aborted) {
    try {
      if (version === '') {
        const { CoreV1Api } = await import('@kubernetes/client-node')
        const api = (await kubeConfig()).makeApiClient(CoreV1Api)
        const list = await bounded(api.listNamespacedPod({ namespace, labelSelector: selector }), listTimeoutMs)
        pods = new Map(list.items.map((pod) => [nameOf(pod), pod]))
        version = list.metadata?.resourceVersion ?? ''
        onChange(pods)
        if (failures > 0) log('info', 'pods are watched again', { selector, failures })
        failures = 0
      }
      version = await watchOnce(options, version, (phase, pod) => {
        if (phase === 'DELETED') pods.delete(nameOf(pod))
        else pods.set(nameOf(pod), pod)
        onChange(pods)
      })
    } catch (error) {
      if (signal.aborted) return
      version = ''
      if (failures === 0) log('warn', 'pods cannot be watched', { selector, error: String(error) })
      await pause(reconnectDelay(failures, Math.random()), signal)
      failures += 1
    }
  }
}

/** Runs one watch to its end. Answers the resource version to go on from; throws if the watch failed. client-node ends a watch after 30 s of silence. */
async function watchOnce(
  { kubeConfig, namespace, selector, signal }: FollowOptions,
  from: string,
  onPod: (phase: string, pod: V1Pod) => void,
): Promise<string> {
  const { Watch } = await import('@kubernetes/client-node')
  const config = await kubeConfig()
  let version = from
  let gone: Error | undefined
  await new Promise<void>((resolve, reject) => {
    const query = { resourceVersion: from, labelSelector: selector, allowWatchBookmarks: true }
    const onEvent = (phase: string, object: V1Pod & { message?: string }): void => {
      if (phase === 'ERROR') gone = new Error(`the watch was refused: ${object.message ?? 'no reason given'}`)
      else version = object.metadata?.resourceVersion ?? version
      if (phase === 'ADDED' || phase === 'MODIFIED' || phase === 'DELETED') onPod(phase, object)
    }
    const onEnd = (error: unknown): void => {
      const silent = error instanceof Error && error.name === 'TimeoutError'
      if (error && !silent) reject(error instanceof Error ? error : new Error(String(error)))
      else resolve()
    }
    new Watch(config)
      .watch(`/api/v1/namespaces/${namespace}/pods`, query, onEvent, onEnd)
      .then((request) => {
        if (signal.aborted) request.abort()
        else signal.addEventListener('abort', () => request.abort(), { once: true })
      })
      .catch(reject)
  })
  if (gone) throw gone
  return version
}

/** Undefined for a pod without rdev's labels, and for one that has ended, because the object of an evicted pod may stay for ever. */
export function podOf(pod: V1Pod): Pod | undefined {
  if (hasEnded(pod)) return undefined
  const labels = pod.metadata?.labels ?? {}
  const role = labels[podLabels.project] === 'true' ? 'project' : labels[podLabels.role] === 'worker' ? 'worker' : undefined
  if (!role) return undefined
  const projectId = labels[podLabels.projectId] ?? null
  const slots = Number(labels[podLabels.slots] ?? defaultSlots)
  return {
    name: nameOf(pod),
    uid: pod.metadata?.uid ?? '',
    role,
    // Kubernetes takes labels that are no project's id. Such a pod is told, and serves nobody.
    project_id: role === 'project' && isProjectId(projectId) ? projectId : null,
    ready:
      pod.status?.phase === 'Running' &&
      pod.metadata?.deletionTimestamp === undefined &&
      (pod.status.conditions ?? []).some((condition) => condition.type === 'Ready' && condition.status === 'True'),
    slots: Number.isInteger(slots) && slots >= 0 && slots <= maxSlots ? slots : defaultSlots,
    providers: agentProviders,
    allow_bypass_permissions: labels[podLabels.bypass] === 'true',
    ...(labels[podLabels.trust] === 'true' && { trust_repository_settings: true }),
  }
}

/** The phase alone may be a guess about a node that cannot be reached. Only the kubelet reports that the containers terminated. */
function hasEnded({ status }: V1Pod): boolean {
  if (status?.phase !== 'Failed' && status?.phase !== 'Succeeded') return false
  return (status.containerStatuses ?? []).every(({ state }) => state?.terminated !== undefined)
}

const nameOf = (pod: V1Pod): string => pod.metadata?.name ?? ''

async function bounded<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer from the API server in ${ms} ms`)), ms)
  })
  return await Promise.race([work, late]).finally(() => clearTimeout(timer))
}

/** Resolves after `ms`, or at once when `signal` aborts. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true })
  })
}
