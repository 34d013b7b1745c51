// The Worker's end of a socket to an object, read frame by frame. Frames that were not asked for yet wait here; the far side bounds how many.

export interface SocketReader {
  /** The next frame; undefined when the socket is closed or the signal aborted, and nothing is left. */
  next(): Promise<string | undefined>
  send(text: string): void
  close(): void
  /** 1006 (RFC 6455 7.1.5: no close frame) until a close frame came. */
  readonly closeCode: number
}

export function openSocket(socket: WebSocket, signal: AbortSignal): SocketReader {
  const frames: string[] = []
  let taken = 0
  let closed = false
  let closeCode = 1006
  let wake: (() => void) | null = null

  const stir = () => {
    wake?.()
    wake = null
  }
  const shut = () => {
    if (closed) return
    closed = true
    signal.removeEventListener('abort', shut)
    try {
      socket.close(1000)
    } catch {
      // Closed by the far side already.
    }
    stir()
  }
  socket.addEventListener('message', ({ data }) => {
    if (closed || typeof data !== 'string') return
    frames.push(data)
    stir()
  })
  socket.addEventListener('close', ({ code }) => {
    closeCode = code
    shut()
  })
  socket.addEventListener('error', shut)
  signal.addEventListener('abort', shut)
  socket.accept()
  if (signal.aborted) shut()

  return {
    async next() {
      if (taken === frames.length) {
        frames.length = taken = 0
        // There is one consumer, and it is woken only by a frame or by the end.
        if (!closed) await new Promise<void>((resolve) => (wake = resolve))
      }
      return signal.aborted ? undefined : frames[taken++]
    },
    send(text) {
      if (!closed) socket.send(text)
    },
    close: shut,
    get closeCode() {
      return closeCode
    },
  }
}
