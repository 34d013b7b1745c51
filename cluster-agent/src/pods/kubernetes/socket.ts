// A WebSocket to the API server for exec and port-forward, opened with the cluster's own credentials.
//
// client-node's Exec and PortForward are not used: they buffer what the reader does not take (181 MiB in 4 s, measured), send no pings, and lose
// the error of a refused port. Only its credentials are used; the channel protocols are small.

import type { IncomingMessage } from 'node:http'
import type { RequestOptions } from 'node:https'
import type { KubeConfig } from '@kubernetes/client-node'
import { WebSocket } from 'ws'

export interface SocketTiming {
  /** From the request to the upgrade's answer. */
  readonly openTimeoutMs: number
  readonly pingEveryMs: number
  /** A ping without an answer for this long means that the connection is half-open; it is cut. */
  readonly pongTimeoutMs: number
}
export const socketTiming: SocketTiming = { openTimeoutMs: 10_000, pingEveryMs: 15_000, pongTimeoutMs: 10_000 }

/** The API server sends frames of 32 KiB, so a frame far above that is an error. */
const maxFrameBytes = 4 * 1024 * 1024
/** How much of the answer to a refused upgrade is read. */
const maxRefusalBytes = 16 * 1024

/**
 * Resolves with an open socket, paused so that nothing is lost before the caller listens and calls `resume()`. Rejects with the API server's
 * message if it refuses the upgrade or cannot be reached.
 */
export async function openSocket(kubeConfig: KubeConfig, path: string, protocol: string, timing: SocketTiming): Promise<WebSocket> {
  const cluster = kubeConfig.getCurrentCluster()
  if (!cluster) throw new Error('the kubeconfig names no cluster')
  const options: RequestOptions = {}
  await kubeConfig.applyToHTTPSOptions(options)
  const url = `${cluster.server.replace(/^http/, 'ws').replace(/\/$/, '')}${path}`

  return await new Promise((resolve, reject) => {
    const socket = new WebSocket(url, [protocol], {
      ...options,
      handshakeTimeout: timing.openTimeoutMs,
      perMessageDeflate: false,
      maxPayload: maxFrameBytes,
    })
    socket.once('open', () => {
      // Frames that came with the upgrade would be emitted before the caller of this promise can listen.
      socket.pause()
      keepAwake(socket, timing)
      resolve(socket)
    })
    socket.once('unexpected-response', (request, response: IncomingMessage) => {
      void refusal(response).then((error) => {
        request.destroy()
        reject(error)
      })
    })
    // After the opening this reject has no effect; `close` follows every error.
    socket.on('error', (error) => reject(new Error(`the API server could not be reached: ${error.message}`, { cause: error })))
  })
}

/** Pings find a half-open connection. While the reader holds the socket paused, no pong is read, so silence proves nothing. */
function keepAwake(socket: WebSocket, timing: SocketTiming): void {
  let received = true
  let verdict: NodeJS.Timeout | undefined
  const hear = (): void => {
    received = true
  }
  socket.on('pong', hear)
  socket.on('message', hear)
  const beat = setInterval(() => {
    received = false
    socket.ping()
    verdict = setTimeout(() => {
      if (!received && !socket.isPaused) socket.terminate()
    }, timing.pongTimeoutMs).unref()
  }, timing.pingEveryMs).unref()
  socket.once('close', () => {
    clearInterval(beat)
    clearTimeout(verdict)
  })
}

/** The API server's answer in place of an upgrade: the message of its Status object, such as `pods "demo" not found`. */
async function refusal(response: IncomingMessage): Promise<Error> {
  let text = ''
  response.setEncoding('utf8')
  // The body has a limit of time too.
  const timer = setTimeout(() => response.destroy(), 2_000)
  try {
    for await (const part of response) {
      text += String(part)
      if (text.length > maxRefusalBytes) break
    }
  } catch {
    // The part that was read is used.
  } finally {
    clearTimeout(timer)
  }
  return new Error(`the API server answered ${response.statusCode}: ${statusMessage(text) ?? 'no reason given'}`)
}

/** The `message` of a Kubernetes Status object, in one line of bounded length. */
export function statusMessage(text: string): string | undefined {
  try {
    const status: unknown = JSON.parse(text)
    if (typeof status !== 'object' || status === null || !('message' in status) || typeof status.message !== 'string') return undefined
    return status.message.replace(/\s+/g, ' ').slice(0, 300)
  } catch {
    return undefined
  }
}
