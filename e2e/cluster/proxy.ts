// A proxy to the API server that can cut connections, or pass nothing and keep them open, as networks do.

import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { KubeConfig } from '@kubernetes/client-node'

export interface ApiProxy extends AsyncDisposable {
  /** The same cluster and user, through the proxy. */
  readonly kubeConfig: KubeConfig
  /** Resets every connection; new ones pass. */
  cut(): void
  /** From now on passes nothing on the open connections, and closes none. */
  goSilent(): void
}

export async function apiProxy(original: KubeConfig): Promise<ApiProxy> {
  const target = new URL(original.getCurrentCluster()?.server ?? '')
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect(Number(target.port), target.hostname)
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
      socket.pipe(other)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const kubeConfig = new KubeConfig()
  kubeConfig.loadFromString(original.exportConfig())
  kubeConfig.clusters = kubeConfig.clusters.map((cluster) => ({ ...cluster, server: `https://${target.hostname}:${port}` }))
  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy()
  }
  return {
    kubeConfig,
    cut,
    goSilent() {
      for (const socket of sockets) socket.unpipe().pause()
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve))
      cut()
      await closed
    },
  }
}
