// Takes what is left of a request's body before its answer leaves. A server that answers and closes with unread bytes resets the connection, and
// the client's system then throws the answer away with it: a body of 6 MB came back as ECONNRESET instead of a 413. So every answer that
// comes before the body was read waits for a rest of bounded size and time. Past either bound the connection is given up.

/** Nothing is kept of it, so this bounds only time and traffic. */
export const maxDrainBytes = 16 * 1024 * 1024
export const drainMs = 5_000

/** Never rejects: a client that is gone needs no answer. */
export async function drainRest({ body }: Pick<Request, 'body'>, waitMs: number = drainMs): Promise<void> {
  if (body === null || body.locked) return
  const reader = body.getReader()
  let timer: ReturnType<typeof setTimeout> | null = null
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, waitMs)
  })
  try {
    for (let bytes = 0; bytes < maxDrainBytes;) {
      const read = await Promise.race([reader.read(), late])
      if (read === undefined || read.done) return
      bytes += read.value.byteLength
    }
  } catch {
    return
  } finally {
    clearTimeout(timer)
    // Not waited for: a sender that goes on must not hold the answer back.
    void reader.cancel().catch(() => undefined)
  }
}
