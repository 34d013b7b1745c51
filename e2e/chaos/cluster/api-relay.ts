// A relay between the agent and the API server, as many clusters have one. It understands HTTP and WebSocket, so a test can cause the known faults
// of kubelets, containerd and load balancers at a chosen moment, for the execs of one pod. The agent uses plain HTTP to it.

import { createServer, type IncomingMessage } from 'node:http'
import { request } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { KubeConfig } from '@kubernetes/client-node'
import { WebSocket, WebSocketServer, type RawData } from 'ws'

/** The exec protocol's channels: the first byte of every frame. */
const stdout = 1
const status = 3
const success = Buffer.concat([Buffer.of(status), Buffer.from('{"metadata":{},"status":"Success"}')])
/** How much is held per connection before its sender has to wait. */
const maxAheadBytes = 1024 * 1024

export interface ApiRelay extends AsyncDisposable {
  /** The same cluster and user, through the relay. */
  readonly kubeConfig: KubeConfig
  /** The number of open execs of this pod. */
  open(pod: string): number
  /** Ends all execs of the pod like a dying containerd: with status `Success` and a clean close. Answers how many there were. */
  succeed(pod: string): number
  /** From now on the output of every open exec of the pod is lost, without an error. Answers how many there were. */
  swallow(pod: string): number
  /** From now on nothing passes on the open execs of the pod, in either direction, and nothing is closed. Answers how many there were. */
  freeze(pod: string): number
  /** Cuts every exec of the pod on which no data passed for so long; undefined: ends that. Pings are not data. `cuts` counts them. */
  limitSilence(pod: string, ms: number | undefined): void
  readonly cuts: Readonly<Record<string, number>>
}

interface Exec {
  readonly pod: string
  readonly near: WebSocket
  readonly far: WebSocket
  swallowing: boolean
  frozen: boolean
  lastDataAt: number
}

export async function apiRelay(original: KubeConfig): Promise<ApiRelay> {
  const cluster = original.getCurrentCluster()
  if (!cluster) throw new Error('the kubeconfig names no cluster')
  const target = new URL(cluster.server)
  const ca = Buffer.from(cluster.caData ?? '', 'base64')
  const execs = new Set<Exec>()
  const limits = new Map<string, number>()
  const cuts: Record<string, number> = {}
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false })

  const server = createServer((near, answer) => {
    const { method, url, headers } = near
    const far = request({ host: target.hostname, port: target.port, ca, method, path: url, headers }, (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers)
      answer.flushHeaders()
      response.pipe(answer)
    })
    far.on('error', () => near.socket.destroy())
    answer.on('close', () => far.destroy())
    near.pipe(far)
  })

  server.on('upgrade', (near: IncomingMessage, socket, head) => {
    const { authorization = '', 'sec-websocket-protocol': protocol = '' } = near.headers
    const far = new WebSocket(`wss://${target.host}${near.url}`, [protocol], { ca, headers: { authorization }, perMessageDeflate: false })
    // Frames that come with the upgrade wait until a listener is attached.
    far.once('open', () => far.pause())
    far.once('unexpected-response', (_, response) => {
      socket.write(`HTTP/1.1 ${response.statusCode} ${response.statusMessage}\r\nconnection: close\r\n\r\n`)
      response.pipe(socket)
    })
    far.on('error', () => socket.destroy())
    far.once('open', () => {
      sockets.handleUpgrade(near, socket, head, (accepted) => {
        const pod = /\/pods\/([^/]+)\/exec\?/.exec(near.url ?? '')?.[1] ?? ''
        const exec: Exec = { pod, near: accepted, far, swallowing: false, frozen: false, lastDataAt: performance.now() }
        execs.add(exec)
        pass(exec, far, accepted)
        pass(exec, accepted, far)
        far.resume()
      })
    })
  })

  const pass = (exec: Exec, from: WebSocket, to: WebSocket): void => {
    from.on('message', (data: RawData, isBinary) => {
      if (exec.frozen) return
      exec.lastDataAt = performance.now()
      if (exec.swallowing && from === exec.far && (data as Buffer)[0] === stdout) return
      to.send(data, { binary: isBinary }, () => {
        if (from.isPaused && !exec.frozen && to.bufferedAmount < maxAheadBytes) from.resume()
      })
      if (to.bufferedAmount >= maxAheadBytes) from.pause()
    })
    from.on('error', () => {})
    from.on('close', () => {
      execs.delete(exec)
      // A frozen exec passes nothing on, also not its end.
      if (exec.frozen) return
      if (from === exec.far) to.close(1000)
      else to.terminate()
    })
  }

  const strike = (pod: string, fault: (exec: Exec) => void): number => {
    const struck = [...execs].filter((exec) => exec.pod === pod)
    for (const exec of struck) fault(exec)
    return struck.length
  }

  const guard = setInterval(() => {
    for (const exec of execs) {
      const limit = limits.get(exec.pod)
      if (limit === undefined || performance.now() - exec.lastDataAt < limit) continue
      cuts[exec.pod] = (cuts[exec.pod] ?? 0) + 1
      exec.near.terminate()
    }
  }, 100)

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const { KubeConfig } = await import('@kubernetes/client-node')
  const kubeConfig = new KubeConfig()
  kubeConfig.loadFromString(original.exportConfig())
  kubeConfig.clusters = kubeConfig.clusters.map(({ name }) => ({ name, server: `http://127.0.0.1:${port}`, skipTLSVerify: true }))

  return {
    kubeConfig,
    cuts,
    open: (pod) => strike(pod, () => {}),
    succeed: (pod) =>
      strike(pod, ({ near }) => {
        near.send(success)
        near.close(1000)
      }),
    swallow: (pod) => strike(pod, (exec) => (exec.swallowing = true)),
    freeze: (pod) =>
      strike(pod, (exec) => {
        exec.frozen = true
        // Without reading, pings are not answered and the sender has to wait, as with a router that forgot the connection.
        exec.near.pause()
        exec.far.pause()
      }),
    limitSilence: (pod, ms) => void (ms === undefined ? limits.delete(pod) : limits.set(pod, ms)),
    async [Symbol.asyncDispose]() {
      clearInterval(guard)
      for (const { near, far } of execs) {
        near.terminate()
        far.terminate()
      }
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}
