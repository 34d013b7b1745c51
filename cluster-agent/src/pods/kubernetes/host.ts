// The pod host of a real cluster: it finds pods by label, opens shells by exec and connections by port-forward, all through the API server.

import type { Duplex } from 'node:stream'
import type { KubeConfig } from '@kubernetes/client-node'
import type { WebSocket } from 'ws'
import type { Log, PodHost, Shell } from '../../ports.ts'
import { channelConnection, connectTiming, portForwardProtocol, type ConnectTiming } from './connect.ts'
import { watchInventory, type Inventory } from './inventory.ts'
import { channelShell, execProtocol } from './shell.ts'
import { openSocket, socketTiming, type SocketTiming } from './socket.ts'
import { shellArgv } from '../library.ts'

export interface KubernetesHostOptions {
  readonly namespace: string
  readonly log: Log
  /** Default: KUBECONFIG, `~/.kube/config`, or the service account of the pod that this program runs in. */
  readonly kubeConfig?: KubeConfig
  /** The container to enter. Default: that of the pod's annotation, or the one that Kubernetes chooses. */
  readonly container?: string
  readonly timing?: Partial<SocketTiming & ConnectTiming>
}

export function createKubernetesHost({ namespace, log, kubeConfig: given, container, timing }: KubernetesHostOptions): PodHost {
  const times = { ...socketTiming, ...connectTiming, ...timing }
  const stopped = new AbortController()
  const sockets = new Set<WebSocket>()
  let inventory: Inventory | undefined
  let loading: Promise<KubeConfig> | undefined
  const kubeConfig = async (): Promise<KubeConfig> => given ?? (await (loading ??= fromEnvironment()))

  const open = async (pod: string, resource: string, protocol: string): Promise<WebSocket> => {
    if (stopped.signal.aborted) throw new Error('the pod host is closed')
    const socket = await openSocket(
      await kubeConfig(),
      `/api/v1/namespaces/${namespace}/pods/${encodeURIComponent(pod)}/${resource}`,
      protocol,
      times,
    )
    if (stopped.signal.aborted) {
      socket.terminate()
      throw new Error('the pod host is closed')
    }
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    return socket
  }

  return {
    kind: 'kubernetes',

    watch(onPods) {
      if (inventory) throw new Error('the inventory is already watched')
      inventory = watchInventory({ kubeConfig, namespace, log, signal: stopped.signal, onPods })
    },

    async shell(pod: string): Promise<Shell> {
      // Argv is part of the request's URL and so of the API server's audit log. It is the same constant for every shell, without task data.
      const query = new URLSearchParams({ stdin: 'true', stdout: 'true', stderr: 'true', tty: 'false' })
      for (const word of shellArgv) query.append('command', word)
      const entered = container ?? inventory?.container(pod)
      if (entered !== undefined) query.append('container', entered)
      const socket = await open(pod, `exec?${query}`, execProtocol)
      return channelShell(socket, (reason) => log('warn', 'a shell could not run', { pod, reason }))
    },

    async connect(pod: string, port: number): Promise<Duplex> {
      return await channelConnection(await open(pod, `portforward?ports=${port}`, portForwardProtocol), port, times)
    },

    async close() {
      stopped.abort()
      await Promise.all(
        [...sockets].map(async (socket) => {
          const closed = new Promise((resolve) => socket.once('close', resolve))
          socket.terminate()
          await closed
        }),
      )
    },
  }
}

/** The library is loaded at the first use: it takes half a second and 90 MB, which an agent with local pods does not need. */
async function fromEnvironment(): Promise<KubeConfig> {
  const { KubeConfig } = await import('@kubernetes/client-node')
  const kubeConfig = new KubeConfig()
  kubeConfig.loadFromDefault()
  return kubeConfig
}
