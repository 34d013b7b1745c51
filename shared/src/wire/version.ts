/** Raised by every change of the frames. Both ends name theirs; a hub refuses what it does not speak (close 4406). */
export const protocolVersion = 2
export const oldestProtocolVersion = 1
