// HTTP to `opencode serve` inside a pod: one connection per request over the attempt's `connect`, with a time limit and a bounded body. Without a
// limit, a server that is just starting, or a port-forward to a port without a server, could hang for ever.

import { request as httpRequest, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { isJson, json, list, parseObject, text, type Json } from '../json.ts'
import { LineReader } from '../lines.ts'

/** Most calls answer in milliseconds. The first one of a session loads its plugins, which takes seconds on a busy node. */
export const requestTimeoutMs = 30_000
/** The stream is cut after so much silence: the server sends something every 10 s. */
export const silenceMs = 35_000
/** Enough for a page of messages: the server cuts tool outputs at 50 KiB. */
export const maxBodyBytes = 32 * 1024 * 1024

export class OpenCodeHttpError extends Error {
  readonly status: number
  constructor(method: string, path: string, status: number, body: string) {
    super(`${method} ${path} answered ${status}: ${body.slice(0, 500)}`)
    this.name = 'OpenCodeHttpError'
    this.status = status
  }
}

/** The server answered, but not what this program can read. */
export class OpenCodeNonsense extends Error {
  override readonly name = 'OpenCodeNonsense'
}

/** There was no connection, which says nothing about the server. */
export class OpenCodeUnreachable extends Error {
  override readonly name = 'OpenCodeUnreachable'
}

export interface Connector {
  connect(port: number): Promise<Duplex>
}

export interface Answer {
  readonly body: unknown
  readonly headers: IncomingMessage['headers']
}

export class OpenCodeClient {
  readonly #connector: Connector
  readonly #port: number
  readonly #authorization: string
  readonly #timeoutMs: number

  constructor(connector: Connector, port: number, password: string, timeoutMs: number = requestTimeoutMs) {
    this.#timeoutMs = timeoutMs
    this.#connector = connector
    this.#port = port
    this.#authorization = `Basic ${Buffer.from(`opencode:${password}`).toString('base64')}`
  }

  async call(method: string, path: string, body?: object, timeoutMs: number = this.#timeoutMs): Promise<Answer> {
    const signal = AbortSignal.timeout(timeoutMs)
    const response = await this.#send(method, path, body, signal)
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of response) {
      const bytes = chunk instanceof Buffer ? chunk : Buffer.from(String(chunk))
      size += bytes.length
      if (size > maxBodyBytes) {
        response.destroy()
        throw new OpenCodeNonsense(`${method} ${path} answered more than ${maxBodyBytes} bytes`)
      }
      chunks.push(bytes)
    }
    const answered = Buffer.concat(chunks).toString('utf8')
    const status = response.statusCode ?? 0
    if (status < 200 || status > 299) throw new OpenCodeHttpError(method, path, status, answered)
    if (answered === '') return { body: undefined, headers: response.headers }
    try {
      const parsed: unknown = JSON.parse(answered)
      return { body: parsed, headers: response.headers }
    } catch (cause) {
      throw new OpenCodeNonsense(`${method} ${path} answered no JSON: ${answered.slice(0, 500)}`, { cause })
    }
  }

  /**
   * The server's events from now on, until the connection ends, is silent for `silenceMs`, or `signal` aborts. Not iterating stops the reading.
   * Throws OpenCodeHttpError if the server refuses.
   */
  async *events(signal: AbortSignal): AsyncIterable<Json> {
    const cut = new AbortController()
    const either = AbortSignal.any([signal, cut.signal])
    let timer = setTimeout(() => cut.abort(), this.#timeoutMs)
    try {
      const response = await this.#send('GET', '/event', undefined, either)
      if (response.statusCode !== 200) {
        response.destroy()
        throw new OpenCodeHttpError('GET', '/event', response.statusCode ?? 0, '')
      }
      const lines = new LineReader(0)
      let offset = 0
      for await (const chunk of response) {
        const bytes = chunk instanceof Buffer ? chunk : Buffer.from(String(chunk))
        clearTimeout(timer)
        for (const line of lines.push(offset, bytes)) {
          // Each event is one line. A line that is too long is left out; the list of messages has its part.
          if (line.removed > 0 || !line.text.startsWith('data:')) continue
          const event = parseObject(line.text.slice(5))
          if (event) yield event
        }
        offset += bytes.length
        timer = setTimeout(() => cut.abort(), silenceMs)
      }
    } finally {
      clearTimeout(timer)
      cut.abort()
    }
  }

  /** The messages of a session from `messageId` on, oldest first; undefined if the session has no such message. Throws OpenCodeHttpError. */
  async messagesSince(session: string, messageId: string): Promise<readonly Json[] | undefined> {
    const { found, whole } = await this.#pages(session, (id) => id === messageId)
    return whole ? undefined : found
  }

  /** The messages of a session whose ids are after `messageId`, oldest first. The session need not have that message. Throws OpenCodeHttpError. */
  async messagesAfter(session: string, messageId: string): Promise<readonly Json[]> {
    const { found } = await this.#pages(session, (id) => id <= messageId)
    return found.filter((message) => idOf(message) > messageId)
  }

  /** Reads back, page by page, to the newest message that `isLast`; `whole` if none is. */
  async #pages(session: string, isLast: (id: string) => boolean): Promise<{ found: readonly Json[]; whole: boolean }> {
    const found: Json[] = []
    let before: string | undefined
    for (;;) {
      const query = before === undefined ? '' : `&before=${encodeURIComponent(before)}`
      const { body, headers } = await this.call('GET', `/session/${session}/message?limit=${pageSize}${query}`)
      const page = list(body).filter(isJson)
      const at = page.findLastIndex((message) => isLast(idOf(message)))
      found.unshift(...(at < 0 ? page : page.slice(at)))
      if (at >= 0) return { found, whole: false }
      const next = headers['x-next-cursor']
      if (typeof next !== 'string' || page.length === 0) return { found, whole: true }
      before = next
    }
  }

  async #send(method: string, path: string, body: object | undefined, signal: AbortSignal): Promise<IncomingMessage> {
    const socket = await abortable(this.#connector.connect(this.#port), signal)
    const payload = body === undefined ? '' : JSON.stringify(body)
    return new Promise((resolve, reject) => {
      const request = httpRequest({
        method,
        path,
        headers: {
          host: `127.0.0.1:${this.#port}`,
          authorization: this.#authorization,
          connection: 'close',
          ...(payload === '' ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }),
        },
        createConnection: () => socket,
        signal,
      })
      // The end of the request ends its connection, so no connection leaks.
      request.once('close', () => socket.destroy())
      request.once('error', (cause) => reject(new Error(`${method} ${path} failed: ${cause.message}`, { cause })))
      request.once('response', resolve)
      request.end(payload)
    })
  }
}

const pageSize = 50

const idOf = (message: Json): string => text(json(message.info).id) ?? ''

/** Rejects when `signal` aborts; a connection that opens afterwards is closed. */
function abortable(connection: Promise<Duplex>, signal: AbortSignal): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      connection.then((late) => late.destroy()).catch(() => {})
      reject(new OpenCodeUnreachable('no connection in time'))
    }
    if (signal.aborted) return abort()
    signal.addEventListener('abort', abort, { once: true })
    connection.then(
      (socket) => {
        signal.removeEventListener('abort', abort)
        resolve(socket)
      },
      (cause: unknown) => {
        signal.removeEventListener('abort', abort)
        reject(new OpenCodeUnreachable(cause instanceof Error ? cause.message : 'no connection', { cause }))
      },
    )
  })
}
