// One TCP connection into a pod over port-forward's channel protocol: channel 0 carries the data, channel 1 an error, and each begins with
// the port's number in two bytes.
//
// The protocol never says "connected"; it only says "refused" on the error channel, and then leaves the socket open for ever. So a connection
// counts as made when data comes, or when `settleMs` have passed without a refusal. A refusal after that destroys the stream.

import { Duplex } from 'node:stream'
import type { RawData, WebSocket } from 'ws'
import { bytesOf, sendFramed } from './shell.ts'

export const portForwardProtocol = 'v4.channel.k8s.io'

const channels = { data: 0, error: 1 } as const
const headerBytes = 2
const readAheadBytes = 128 * 1024
/** The protocol has no half-close. After `end()` the pod's side may go on sending; it is cut when it has been silent this long. */
const lingerMs = 10_000

export interface ConnectTiming {
  readonly openTimeoutMs: number
  /** In 200 tries on two busy cores a refusal came 0.2 ms (p50) to 5.4 ms (worst) after the headers. */
  readonly settleMs: number
}
export const connectTiming: ConnectTiming = { openTimeoutMs: 10_000, settleMs: 15 }

/** Takes over an open, paused socket. Rejects if nothing listens on the port, or there is no answer in time. */
export async function channelConnection(socket: WebSocket, port: number, timing: ConnectTiming): Promise<Duplex> {
  const refused = new Error(`nothing listens on port ${port} of the pod`)
  const stream = forwarded(socket)

  return await new Promise((resolve, reject) => {
    let settled = false
    const settle = (error?: Error): void => {
      if (error) stream.destroy(settled ? error : undefined)
      clearTimeout(timer)
      if (settled) return
      settled = true
      if (error) reject(error)
      else resolve(stream)
    }
    let timer = setTimeout(() => settle(new Error(`no answer from the pod for port ${port}`)), timing.openTimeoutMs)

    const headers: [number, number] = [0, 0]
    socket.on('message', (data: RawData) => {
      const frame = bytesOf(data)
      const channel = frame[0]
      if (channel !== channels.data && channel !== channels.error) return
      const skipped = Math.min(headerBytes - headers[channel], frame.length - 1)
      headers[channel] += skipped
      const payload = frame.subarray(1 + skipped)
      if (payload.length === 0) {
        // Both headers are there: the pod's side has begun to dial.
        if (!settled && headers[0] === headerBytes && headers[1] === headerBytes) {
          clearTimeout(timer)
          timer = setTimeout(settle, timing.settleMs)
        }
      } else if (channel === channels.error) {
        settle(refused)
      } else {
        stream.deliver(payload)
        settle()
      }
    })
    socket.once('close', () => {
      stream.endOfData()
      settle(settled ? undefined : new Error(`the connection to port ${port} was closed before it opened`))
    })
    socket.resume()
  })
}

interface Forwarded extends Duplex {
  deliver(bytes: Buffer): void
  endOfData(): void
}

function forwarded(socket: WebSocket): Forwarded {
  let linger: NodeJS.Timeout | undefined
  const over = (): boolean => socket.readyState === socket.CLOSED
  const duplex = new Duplex({
    readableHighWaterMark: readAheadBytes,
    allowHalfOpen: false,
    read: () => socket.resume(),
    write: (chunk: Buffer, _encoding, done) => sendFramed(socket, channels.data, chunk, done),
    final(done) {
      if (!over()) linger = setTimeout(() => socket.terminate(), lingerMs)
      done()
    },
    destroy(error, done) {
      clearTimeout(linger)
      socket.terminate()
      done(error)
    },
  })
  return Object.assign(duplex, {
    deliver(bytes: Buffer): void {
      if (duplex.destroyed) return
      linger?.refresh()
      if (!duplex.push(bytes)) socket.pause()
    },
    endOfData(): void {
      clearTimeout(linger)
      if (!duplex.destroyed) duplex.push(null)
    },
  })
}
