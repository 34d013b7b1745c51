// Limits and timeouts that more than one program keeps.

/** What a process gets to end in peace, from the first signal to the last, when nobody chose. */
export const cancelGraceS = 10
/** Of a result's text: it travels in one frame, together with little else, and waits in a cursor until it is stored. */
export const maxResultTextBytes = 128 * 1024
