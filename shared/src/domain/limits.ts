// Limits and timeouts that more than one program uses.

/** Default seconds between the first signal to a process and KILL. */
export const cancelGraceS = 10
/** A result's text: it is sent in one frame, and may wait in a cursor until it is stored. */
export const maxResultTextBytes = 128 * 1024
