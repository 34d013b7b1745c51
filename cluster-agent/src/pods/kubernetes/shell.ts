// The exec protocol `v5.channel.k8s.io`: every frame begins with the number of its channel; channel 255 closes another one.
//
// All channels share one socket. A reader must read both stdout and stderr, because a full one stops the other.

import { Readable, Writable } from 'node:stream'
import type { RawData, WebSocket } from 'ws'
import type { Shell } from '../../ports.ts'
import { statusMessage } from './socket.ts'

export const execProtocol = 'v5.channel.k8s.io'

const channels = { stdin: 0, stdout: 1, stderr: 2, status: 3, close: 255 } as const
/** How much is read ahead per stream. Past it the socket is paused, and TCP's flow control stops the process in the pod. */
const readAheadBytes = 128 * 1024
/** The API server reads a whole frame before it passes it on, so frames stay small. */
const maxStdinFrameBytes = 64 * 1024

/** Takes over an open, paused socket. `onFailure` gets the API server's message if the shell could not run; it is not called at a normal end. */
export function channelShell(socket: WebSocket, onFailure: (message: string) => void): Shell {
  const full = new Set<Readable>()
  const readable = (): Readable => {
    const stream = new Readable({
      highWaterMark: readAheadBytes,
      read() {
        full.delete(stream)
        if (full.size === 0) socket.resume()
      },
      destroy(error, done) {
        full.delete(stream)
        if (full.size === 0) socket.resume()
        done(error)
      },
    })
    return stream
  }
  const stdout = readable()
  const stderr = readable()
  const stdin = stdinOf(socket)

  const deliver = (stream: Readable, bytes: Buffer): void => {
    if (bytes.length === 0 || stream.destroyed || stream.readableEnded) return
    if (stream.push(bytes)) return
    full.add(stream)
    socket.pause()
  }

  socket.on('message', (data: RawData) => {
    const frame = bytesOf(data)
    if (frame.length === 0) return
    const payload = frame.subarray(1)
    if (frame[0] === channels.stdout) deliver(stdout, payload)
    else if (frame[0] === channels.stderr) deliver(stderr, payload)
    else if (frame[0] === channels.status) {
      const failure = failureOf(payload.toString('utf8'))
      if (failure !== undefined) onFailure(failure)
      // The status is the last frame. Some servers leave the socket open after it, so this side ends it.
      socket.terminate()
    }
  })

  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      // What was read ahead stays readable up to its end.
      if (!stdout.destroyed) stdout.push(null)
      if (!stderr.destroyed) stderr.push(null)
      stdin.destroy()
      resolve()
    })
  })
  socket.resume()

  return {
    stdin,
    stdout,
    stderr,
    closed,
    destroy() {
      stdout.destroy()
      stderr.destroy()
      // `close()` would wait for the handshake of a peer that may be gone. The cut reaches the pod as the end of stdin.
      socket.terminate()
    },
  }
}

function stdinOf(socket: WebSocket): Writable {
  let open = true
  const end = (done: () => void): void => {
    if (open) socket.send(Buffer.from([channels.close, channels.stdin]), () => done())
    else done()
    open = false
  }
  const stdin = new Writable({
    highWaterMark: maxStdinFrameBytes,
    // `done` is called when the kernel has the bytes, which gives backpressure.
    write: (chunk: Buffer, _encoding, done) => sendFramed(socket, channels.stdin, chunk, done),
    final: (done) => end(done),
    destroy: (error, done) => end(() => done(error)),
  })
  // `closed` tells that the shell is gone. Without this listener, a write to it would end this program.
  stdin.on('error', () => {})
  return stdin
}

/** Sends `bytes` on a channel in frames of bounded size. Calls `done` when the kernel has the last of them. */
export function sendFramed(socket: WebSocket, channel: number, bytes: Buffer, done: (error?: Error | null) => void): void {
  for (let at = 0; at < bytes.length || at === 0; at += maxStdinFrameBytes) {
    const part = bytes.subarray(at, at + maxStdinFrameBytes)
    const last = at + maxStdinFrameBytes >= bytes.length
    socket.send(Buffer.concat([Buffer.of(channel), part]), last ? (error) => done(error) : undefined)
  }
}

export function bytesOf(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data)
}

/** The message of a shell that could not run. The exit code of the command is not a failure of the shell. */
function failureOf(text: string): string | undefined {
  if (/"status":\s*"Success"/.test(text) || /"reason":\s*"NonZeroExitCode"/.test(text)) return undefined
  return statusMessage(text) ?? 'the shell failed without a reason'
}
