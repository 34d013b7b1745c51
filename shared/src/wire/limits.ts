// Limits of both sockets, each with the reason for it.

/** A larger frame closes the socket: a peer must not make the other hold unbounded memory. (Cloudflare's own limit is higher.) */
export const maxFrameBytes = 1024 * 1024
/** An inventory that is told in parts: what a hub holds of it in memory, whoever tells it. */
export const maxInventoryParts = 128
export const maxInventoryPods = 5_000
export const maxInventoryAttempts = 50_000
/** A batch is sent after this wait, or earlier if it reaches one of the next two limits. The first event after silence is sent at once. */
export const maxBatchWaitMs = 50
export const maxBatchEvents = 64
export const maxBatchBytes = 128 * 1024
/** Bytes per attempt that are sent and not acknowledged; above this the agent stops reading the pod's files. */
export const maxUnackedBytes = 1024 * 1024
/** The opaque part of a cursor. It is stored with every batch that changes it. */
export const maxCursorBytes = 320 * 1024
/** The runtime answers the text `ping` with `pong` without waking the object. */
export const pingText = 'ping'
export const pongText = 'pong'
export const pingEveryMs = 15_000
/** After this silence the socket counts as dead and is terminated. */
export const pongTimeoutMs = 25_000

/** Close codes (4000–4999 are for applications, RFC 6455 7.4.2). The reason is a short constant phrase. */
export const closeCodes = {
  /** A newer connection of the same identity took over; wait 30 s before coming back. */
  superseded: 4001,
  malformed: 4400,
  unauthorized: 4401,
  /** The attempt is not the task's attempt any more: stop sending. */
  stale: 4403,
  /** Events do not follow those that the log holds; reconnect and resume. */
  gap: 4409,
  unsupportedProtocol: 4406,
  /** The reader fell behind; read pages, then reconnect. */
  behind: 4413,
  /** The log is complete. */
  ended: 4000,
  tryAgain: 4503,
} as const
