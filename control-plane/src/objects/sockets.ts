/** Closes whatever state the socket is in: it may be closed already, or the far side's code may be one that nobody may send. */
export function closeSocket(socket: WebSocket, code: number, reason: string): void {
  try {
    socket.close(code, reason)
  } catch {
    // Gone already: nothing is left to be told.
  }
}

/** To a socket that may be gone already: its close event is on the way, and what is missing is sent when the far side is back. */
export function sendOn(socket: WebSocket | undefined, text: string): void {
  try {
    socket?.send(text)
  } catch {
    // As above.
  }
}
