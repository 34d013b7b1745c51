// The exec protocol `v5.channel.k8s.io`: every frame begins with the number of its channel; frame 255 closes one channel.
//
// All channels share one socket, so a reader that takes stdout and leaves stderr stops both once stderr is full: read both.

import { Readable, Writable } from 'node:stream'
import type { RawData, WebSocket } from 'ws'
import type { Shell } from '../../ports.ts'
import { statusMessage } from './socket.ts'

export const execProtocol = 'v5.channel.k8s.io'

const channels = { stdin: 0, stdout: 1, stderr: 2, status: 3, close: 255 } as const
/** Read ahead per stream; past it the socket is paused, and TCP stops the process in the pod. */
const readAheadBytes = 128 * 1024
/** The API server reads a frame as a whole before it passes it on. */
const maxStdinFrameBytes = 64 * 1024

/** Takes over an open, paused socket. `onFailure` gets what the API server says about a shell that could not run; a normal end says nothing. */
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
      // The status is the last frame. Some servers leave the socket open after it, so it is ended from here.
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
      // Not `close()`: its handshake waits for a peer that may be gone. The cut reaches the pod as the end of stdin.
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
    // The callback comes when the bytes are with the kernel: that is the backpressure.
    write: (chunk: Buffer, _encoding, done) => sendFramed(socket, channels.stdin, chunk, done),
    final: (done) => end(done),
    destroy: (error, done) => end(() => done(error)),
  })
  // Writing to a shell that is gone is no news beside `closed`, and must not end this program.
  stdin.on('error', () => {})
  return stdin
}

/** Sends `bytes` on a channel, in frames of bounded size; `done` after the last of them was handed to the kernel. */
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

/** A command's own exit code is no failure of the shell, and decides nothing here. */
function failureOf(text: string): string | undefined {
  if (/"status":\s*"Success"/.test(text) || /"reason":\s*"NonZeroExitCode"/.test(text)) return undefined
  return statusMessage(text) ?? 'the shell failed without a reason'
}
