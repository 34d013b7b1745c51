// Limits of both sockets, each with what it stops.

/** A frame above this closes the socket: one peer must not make the other hold unbounded memory. (Cloudflare's own limit is higher.) */
export const maxFrameBytes = 1024 * 1024
/** Batches leave at the latest after this wait, or when one of the next two is full; the first event after silence leaves at once. */
export const maxBatchWaitMs = 50
export const maxBatchEvents = 64
export const maxBatchBytes = 128 * 1024
/** Bytes sent and not yet acknowledged per attempt; past it the agent stops reading the pod's files. */
export const maxUnackedBytes = 1024 * 1024
/** A cursor's opaque part; it is stored with every batch that changes it. */
export const maxCursorBytes = 320 * 1024
/** The text `ping`, answered by the runtime with `pong` without waking the object. */
export const pingText = 'ping'
export const pongText = 'pong'
export const pingEveryMs = 15_000
/** Two misses: the socket is dead, `terminate()` it. */
export const pongTimeoutMs = 25_000

/** Close codes (4000–4999 are for applications, RFC 6455 7.4.2). The reason is a short constant phrase. */
export const closeCodes = {
  /** A newer connection of the same identity took over; wait 30 s before coming back. */
  superseded: 4001,
  malformed: 4400,
  unauthorized: 4401,
  /** This attempt is not the task's attempt any more: stop pumping. */
  stale: 4403,
  /** Events do not follow on what the log holds; reconnect and resume. */
  gap: 4409,
  unsupportedProtocol: 4406,
  /** A reader fell behind; read pages and come back. */
  behind: 4413,
  /** The log is complete. */
  ended: 4000,
  tryAgain: 4503,
} as const
