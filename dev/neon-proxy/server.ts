// Neon's HTTP protocol on loopback, as @neondatabase/serverless 1.2 uses it: POST /sql with `{query, params}`, or `{queries}` as one
// transaction. If the server refuses a statement, the answer is 400 with the server's message and code; if the backend is away, 503.
// A request needs the password of the connection string, because every user and web page of the computer can reach a loopback port.

import { randomBytes, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { SqlError } from './backend.ts'
import type { SqlBackend, SqlResult, Statement, TransactionOptions } from './backend.ts'

/** The prompt of a task may have a few MiB; a body of this size is a mistake. */
const maxRequestBytes = 16 * 1024 * 1024

export interface NeonProxy {
  /** What a Worker gets as NEON_FETCH_ENDPOINT. */
  readonly url: string
  /** What a Worker gets as DATABASE_URL. */
  readonly connectionString: string
  /** Stops serving. The owner of the backend closes that. */
  close(): Promise<void>
}

export interface NeonProxyOptions {
  readonly backend: SqlBackend
  readonly host: string
  /** 0 picks a free one. */
  readonly port: number
  /** Default: a new one. */
  readonly password?: string
}

export async function startNeonProxy(options: NeonProxyOptions): Promise<NeonProxy> {
  const { backend, host } = options
  const password = options.password ?? randomBytes(24).toString('hex')
  const server = createServer((request, response) => {
    answer(backend, password, request).then(
      ({ status, body }) => send(response, status, body),
      (error: unknown) => send(response, ...refusal(error)),
    )
  })
  // The Worker keeps its connections. With Node's limit of 5 s one would sometimes be closed just as it is used.
  server.keepAliveTimeout = 10 * 60_000
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, host, resolve)
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port')
  return {
    url: `http://${host}:${address.port}/sql`,
    connectionString: `postgresql://rdev:${password}@${host}:${address.port}/rdev`,
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error ? reject(error) : resolve()))
        server.closeAllConnections()
      }),
  }
}

class BadRequest extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.name = 'BadRequest'
    this.status = status
  }
}

async function answer(backend: SqlBackend, password: string, request: IncomingMessage): Promise<{ status: number; body: object }> {
  if (request.url !== '/sql') throw new BadRequest(404, 'only /sql is served')
  if (request.method !== 'POST') throw new BadRequest(405, 'only POST is served')
  authenticate(password, request.headers)
  if (request.headers['neon-raw-text-output'] !== 'true') throw new BadRequest(400, 'Neon-Raw-Text-Output must be true')
  const rowAsArray = request.headers['neon-array-mode'] === 'true'
  const body = parseBody(await readBody(request))
  if ('query' in body) return { status: 200, body: shape(await backend.query(toStatement(body)), rowAsArray) }
  if (!Array.isArray(body.queries)) throw new BadRequest(400, 'the body must have query or queries')
  const results = await backend.transaction(body.queries.map(toStatement), transactionOptions(request.headers))
  return { status: 200, body: { results: results.map((result) => shape(result, rowAsArray)) } }
}

/** Throws PostgreSQL's own error, so that a client shows the same as with a real server. */
function authenticate(password: string, headers: IncomingHttpHeaders): void {
  const value = headers['neon-connection-string']
  const text = typeof value === 'string' && URL.canParse(value) ? new URL(value).password : ''
  const given = Buffer.from(text)
  const expected = Buffer.from(password)
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    throw new SqlError('password authentication failed', { severity: 'FATAL', code: '28P01' })
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request) {
    const bytes: Buffer = chunk
    size += bytes.length
    if (size <= maxRequestBytes) chunks.push(bytes)
  }
  // Read the body to its end, because a client that is still sending would not see the answer.
  if (size > maxRequestBytes) throw new BadRequest(413, `the body may have at most ${maxRequestBytes} bytes`)
  return Buffer.concat(chunks).toString('utf8')
}

function parseBody(text: string): Record<string, unknown> {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    throw new BadRequest(400, 'the body is not JSON')
  }
  if (!isRecord(body)) throw new BadRequest(400, 'the body must be a JSON object')
  return body
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

function toStatement(value: unknown): Statement {
  if (!isRecord(value) || typeof value.query !== 'string') throw new BadRequest(400, 'query must be a string')
  const params = value.params ?? []
  if (!Array.isArray(params)) throw new BadRequest(400, 'params must be an array')
  return { sql: value.query, params: params.map(toText) }
}

/** The driver sends only text and null; other JSON values become text. */
function toText(value: unknown): string | null {
  if (value === null || value === undefined) return null
  return typeof value === 'string' ? value : JSON.stringify(value)
}

const isolations = {
  ReadUncommitted: 'READ UNCOMMITTED',
  ReadCommitted: 'READ COMMITTED',
  RepeatableRead: 'REPEATABLE READ',
  Serializable: 'SERIALIZABLE',
} as const
const isIsolation = (word: string): word is keyof typeof isolations => word in isolations

function transactionOptions(headers: IncomingHttpHeaders): TransactionOptions {
  const isolation = headers['neon-batch-isolation-level']
  if (isolation !== undefined && (typeof isolation !== 'string' || !isIsolation(isolation))) {
    throw new BadRequest(400, 'Neon-Batch-Isolation-Level is not one of PostgreSQL’s')
  }
  const flag = (name: string) => (headers[name] === undefined ? undefined : headers[name] === 'true')
  return {
    isolation: isolation && isolations[isolation],
    readOnly: flag('neon-batch-read-only'),
    deferrable: flag('neon-batch-deferrable'),
  }
}

function shape({ fields, command, rowCount, rows }: SqlResult, rowAsArray: boolean): object {
  const names = fields.map((field) => field.name)
  return {
    fields,
    command,
    rowCount,
    rows: rowAsArray ? rows : rows.map((row) => Object.fromEntries(row.map((value, i) => [names[i], value]))),
    rowAsArray,
  }
}

function refusal(error: unknown): [status: number, body: object] {
  if (error instanceof SqlError) return [400, { message: error.message, ...error.fields }]
  if (error instanceof BadRequest) return [error.status, { message: error.message }]
  return [503, { message: `the database is away: ${error instanceof Error ? error.message : String(error)}` }]
}

function send(response: ServerResponse, status: number, body: object): void {
  if (response.destroyed) return
  const text = Buffer.from(JSON.stringify(body))
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': text.length })
  response.end(text)
}
