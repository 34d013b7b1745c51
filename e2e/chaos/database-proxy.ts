// A proxy between the control plane and the database's HTTP endpoint. It counts requests, and loses a request or its answer, chosen by the text
// of the SQL. A lost answer is that of a committed statement.
import { createServer, request as send } from 'node:http'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

/** By which texts the statements of the scenarios are recognised. */
export const statements = {
  claim: /hashtextextended\('claim '/,
  finish: /with ended as \([^]*update attempts a set status = \$/,
} as const

export interface Loss {
  /** Resolves when it has happened. */
  readonly happened: Promise<void>
  readonly times: number
}

export interface DatabaseProxy extends AsyncDisposable {
  /** For `StackOptions.databaseVia`. */
  readonly via: (fetchEndpoint: string) => Promise<string>
  readonly requests: number
  /** Resolves when the database has answered, or refused, that many such statements. */
  answered(statement: RegExp, times: number): Promise<void>
  /** Called for every answer, with the SQL and the time that the database took. */
  onAnswer(listener: (sql: string, ms: number) => void): void
  /** For the next statements that match, loses the request before the database, or the answer after the commit. */
  lose(what: 'request' | 'answer', statement: RegExp, times?: number): Loss
  /** Resets every connection; new ones pass. */
  cut(): void
}

interface Rule {
  readonly what: 'request' | 'answer'
  readonly statement: RegExp
  left: number
  hit(): void
}

export async function databaseProxy(): Promise<DatabaseProxy> {
  let target = new URL('http://127.0.0.1:0')
  let requests = 0
  let rules: Rule[] = []
  const listeners: ((sql: string, ms: number) => void)[] = []
  const sockets = new Set<Socket>()

  const server = createServer((near, answer) => {
    requests++
    void readAll(near).then(
      (body) => {
        const sql = sqlOf(body.toString('utf8'))
        const beganAt = performance.now()
        const rule = rules.find(({ statement }) => statement.test(sql))
        if (rule && --rule.left === 0) rules = rules.filter((other) => other !== rule)
        const lose = () => {
          near.socket.resetAndDestroy()
          rule?.hit()
        }
        if (rule?.what === 'request') return lose()
        const options = { host: target.hostname, port: target.port, method: 'POST', path: target.pathname, headers: near.headers }
        const far = send(options, (response) => {
          void readAll(response).then(
            (whole) => {
              for (const listener of listeners) listener(sql, performance.now() - beganAt)
              if (rule) return lose()
              answer.writeHead(response.statusCode ?? 502, { 'content-type': 'application/json', 'content-length': whole.length })
              answer.end(whole)
            },
            () => near.socket.resetAndDestroy(),
          )
        })
        far.once('error', () => near.socket.resetAndDestroy())
        far.end(body)
      },
      () => {},
    )
  })
  server.keepAliveTimeout = 10 * 60_000
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const cut = () => {
    for (const socket of sockets) socket.resetAndDestroy()
  }

  return {
    via: async (fetchEndpoint) => {
      target = new URL(fetchEndpoint)
      return `http://127.0.0.1:${port}${target.pathname}`
    },
    get requests() {
      return requests
    },
    answered: (statement, times) =>
      new Promise((resolve) => {
        let left = times
        listeners.push((sql) => {
          if (statement.test(sql) && --left === 0) resolve()
        })
      }),
    onAnswer: (listener) => void listeners.push(listener),
    lose: (what, statement, times = 1) => {
      const { promise: happened, resolve } = Promise.withResolvers<void>()
      const loss = { happened, times: 0 }
      rules.push({
        what,
        statement,
        left: times,
        hit: () => {
          loss.times++
          if (loss.times === times) resolve()
        },
      })
      return loss
    },
    cut,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve))
      cut()
      await closed
    },
  }
}

/** The SQL of a request: one statement, or several in a transaction. */
function sqlOf(body: string): string {
  const { query, queries } = JSON.parse(body) as { query?: string; queries?: { query: string }[] }
  return query ?? (queries ?? []).map((one) => one.query).join(';\n')
}

async function readAll(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of message) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}
