// A live HTTP answer from batches of log entries. It promises: an entry is sent as soon as the reader takes it, without a timer; nothing is
// fetched before the reader asks for it (one batch at a time), so a slow client slows the log and fills no memory; both sides are always
// released. A client can resume after every kind of end.

import type { LogItem } from '../ports/task-logs.ts'

/** How entries are written: Server-Sent Events (WHATWG HTML, 9.2, server-sent events) or NDJSON. */
export interface StreamFormat {
  readonly mediaType: string
  /** Sent at once, before any entry. */
  readonly opening: string
  readonly heartbeat: string
  entry(item: LogItem): string
  ending(reason: EndReason): string
}

/** `finished`: the log is complete. After the others the client should come back with its last seq; after `unauthorized` with another key. */
export type EndReason = 'finished' | 'rotate' | 'unauthorized' | 'error'

/**
 * The id is the last line. Some clients take an id as soon as its line is there (fetch-event-source), or the whole of a block that was cut
 * (r3labs/sse): cut in the data, they would come back from after an event that they do not have. An event that is not stored has no seq, and so
 * no id.
 */
const entryWith =
  (idEnd: string) =>
  ({ seq, type, json }: LogItem): string =>
    `event: ${type}\ndata: ${json}\n${seq === null ? '' : `id: ${seq}${idEnd}\n`}\n`

/**
 * `retry` and heartbeats are lines of the block that follows. An empty line after them would end a block without data, which EventSource drops
 * and fetch-event-source gives to its user as a message with empty data.
 */
export const serverSentEvents: StreamFormat = {
  mediaType: 'text/event-stream',
  opening: 'retry: 1000\n',
  heartbeat: ': hb\n',
  entry: entryWith(''),
  ending: (reason) => `event: stream.end\ndata: {"reason":"${reason}"}\n\n`,
}

/**
 * Server-Sent Events for the bearer of a stream ticket. EventSource comes back with the URL that it has, so with the same ticket, and with the
 * last id that it was told. Each id ends with a proof of having read this stream, which makes the ticket good beyond its life: `<seq>.<proof>`.
 * The first id comes before any event, with a `stream.start`: many clients give a block without data to their users as an empty message.
 */
export const provenServerSentEvents = (after: number, proof: string): StreamFormat => ({
  ...serverSentEvents,
  opening: `${serverSentEvents.opening}event: stream.start\ndata: {"after":${after}}\nid: ${after}.${proof}\n\n`,
  entry: entryWith(`.${proof}`),
})

/**
 * One event on each line; the last one is `task.finished`, and an earlier end has a line of its own. The heartbeat is a single space, which
 * JSON allows before a value (RFC 8259, section 2). An empty line would break readers that parse each line.
 */
export const ndjson: StreamFormat = {
  mediaType: 'application/x-ndjson',
  opening: '',
  heartbeat: ' ',
  entry: ({ json }) => `${json}\n`,
  ending: (reason) => (reason === 'finished' ? '' : `{"type":"stream.end","data":{"reason":"${reason}"}}\n`),
}

export interface StreamLimits {
  /**
   * Time between heartbeats. They keep proxies from closing a silent connection, and find clients that are gone. Some proxies close after 15 s;
   * below 10 s a late timer does no harm.
   */
  readonly heartbeatMs: number
  /** Age at which every stream is ended on purpose, because no connection lives for ever and clients must be able to resume. */
  readonly rotateMs: number
  /** How long a client may leave what was sent unread before its connection is dropped. */
  readonly drainMs: number
  /** How often the key is checked again. With the 5 s for which a key is cached, a revoked key ends the stream within 60 s. */
  readonly recheckMs: number
}
export const streamLimits: StreamLimits = { heartbeatMs: 9_000, rotateMs: 600_000, drainMs: 30_000, recheckMs: 45_000 }

export interface StreamSource {
  /** Starts reading. Ends after `task.finished`, or soon after `signal` aborts. Returns true if the log is complete. */
  follow(signal: AbortSignal): AsyncGenerator<readonly LogItem[], boolean>
  /** Whether the reader may still read. Throws if that cannot be found out now. */
  allowed(): Promise<boolean>
  /** Called once with the error of a broken stream. The client only gets the end `error`. */
  failed(error: unknown): void
  /** Aborted when the client is gone. */
  readonly gone: AbortSignal
}

export function eventStream(source: StreamSource, format: StreamFormat, limits: StreamLimits): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  const reading = new AbortController()
  const batches = source.follow(reading.signal)
  let opened = format.opening === ''
  let end: EndReason | undefined
  /** The client asked for more, and nothing is being sent. */
  let wanted = false
  let ticks = 0
  let idleTicks = 0
  let timer: ReturnType<typeof setInterval> | null = null

  /** Releases the log, the timer and the request. Safe to repeat. */
  function release(): void {
    clearInterval(timer)
    source.gone.removeEventListener('abort', release)
    reading.abort()
    // The signal ends a generator that waits for the log; `return` ends one that is not waiting.
    void batches.return(false).catch(() => undefined)
  }

  /** One interval serves heartbeats and all limits. A `pull` that waits for a batch writes the end. */
  function tick(controller: ReadableStreamDefaultController<Uint8Array>): void {
    ticks++
    const elapsed = (everyMs: number) => ticks % Math.max(1, Math.floor(everyMs / limits.heartbeatMs)) === 0
    const drained = wanted && (controller.desiredSize ?? 0) >= 0
    idleTicks = drained ? 0 : idleTicks + 1
    if (idleTicks * limits.heartbeatMs > limits.drainMs) {
      release()
      controller.error(new Error('the client does not read'))
      return
    }
    if (elapsed(limits.rotateMs)) return stop('rotate')
    if (elapsed(limits.recheckMs)) void recheck()
    if (drained && opened) controller.enqueue(encoder.encode(format.heartbeat))
  }

  function stop(reason: EndReason): void {
    end ??= reason
    reading.abort()
  }

  async function recheck(): Promise<void> {
    // A failed check does not end the stream: the database may be away, and the next check asks again.
    const allowed = await source.allowed().catch(() => true)
    if (!allowed) stop('unauthorized')
  }

  /** The next chunk to write; undefined at the end. */
  async function nextChunk(): Promise<string | undefined> {
    for (;;) {
      if (end) return undefined
      const next = await batches.next()
      if (next.done) {
        end ??= next.value ? 'finished' : 'rotate'
        return undefined
      }
      if (next.value.at(-1)?.type === 'task.finished') end = 'finished'
      let chunk = ''
      for (const item of next.value) chunk += format.entry(item)
      if (chunk !== '') return chunk
    }
  }

  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        timer = setInterval(tick, limits.heartbeatMs, controller)
        if (source.gone.aborted) release()
        else source.gone.addEventListener('abort', release, { once: true })
      },

      async pull(controller) {
        if (!opened) {
          opened = true
          controller.enqueue(encoder.encode(format.opening))
          return
        }
        wanted = true
        let chunk: string | undefined
        try {
          chunk = await nextChunk()
        } catch (error) {
          if (!reading.signal.aborted) source.failed(error)
          end ??= 'error'
        }
        wanted = false
        idleTicks = 0
        const text = (chunk ?? '') + (end ? format.ending(end) : '')
        if (text !== '') controller.enqueue(encoder.encode(text))
        if (end) {
          release()
          controller.close()
        }
      },

      cancel: release,
    },
    // Nothing is read before the client asks for it.
    { highWaterMark: 0 },
  )
}
