// A scripted model behind the Anthropic Messages API, so that the real agent CLIs run without an account or a network. Its answer is a function
// of the request (README.md). It accepts any API key, and keeps only a bounded log of requests.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { answer } from './answer.ts'
import { readConversation, tokensOf } from './conversation.ts'
import { costOf } from './prices.ts'
import { refuse, type Usage } from './reply.ts'
import { sendDocument, sendRefusal, sendStream, usageOf } from './send.ts'

/** A request that was received. Requests in the background have no tools. */
export interface ModelRequest {
  readonly at: number
  readonly method: string
  readonly path: string
  readonly model: string | null
  readonly stream: boolean
  readonly tools: number
  /** The latest prompt, cut to 500 characters. */
  readonly prompt: string | null
  readonly turns: number
  readonly status: number | 'hang'
  /** Who asked: a test that wants to know which task a request belongs to gives each a key of its own. */
  readonly key: string | null
  /** The tokens of its answer. */
  readonly usage: Usage | null
  /** What they cost; null if the model has no price here. */
  readonly cost_usd: number | null
}

export interface Model {
  readonly url: string
  /** The latest 1,000, oldest first. */
  readonly requests: readonly ModelRequest[]
  close(): Promise<void>
}

/** Enough for any conversation that a CLI sends; a larger body is refused. */
const maxBodyBytes = 64 * 1024 * 1024
const maxRequests = 1000
const models = ['claude-opus-5-5', 'claude-sonnet-4-5', 'claude-haiku-4-5-20251001']

const base62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const randomId = (prefix: string): string =>
  prefix + Array.from(crypto.getRandomValues(new Uint8Array(22)), (byte) => base62[byte % 62]).join('')

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request) {
    const bytes = chunk instanceof Buffer ? chunk : Buffer.from(String(chunk))
    size += bytes.length
    if (size > maxBodyBytes) return undefined
    chunks.push(bytes)
  }
  try {
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'))
    return body
  } catch {
    return undefined
  }
}

function keyOf({ headers }: IncomingMessage): string | null {
  const key = headers['x-api-key'] ?? headers.authorization?.replace(/^Bearer /, '')
  return typeof key === 'string' ? key.slice(0, 100) : null
}

export async function startModel(options: { host?: string; port?: number } = {}): Promise<Model> {
  const requests: ModelRequest[] = []
  const repeats = new Map<string, number>()

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? '/', 'http://model').pathname
    const requestId = randomId('req_')
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    const note = (status: number | 'hang', more: Partial<ModelRequest> = {}) => {
      if (requests.length >= maxRequests) requests.shift()
      const base = {
        at: Date.now(),
        method: request.method ?? '',
        path,
        status,
        model: null,
        stream: false,
        tools: 0,
        prompt: null,
        turns: 0,
        key: keyOf(request),
        usage: null,
        cost_usd: null,
      }
      requests.push({ ...base, ...more })
    }
    const json = (value: unknown) => {
      note(200)
      response.writeHead(200, { 'content-type': 'application/json', 'request-id': requestId })
      response.end(request.method === 'HEAD' ? undefined : JSON.stringify(value))
    }

    if (request.method === 'GET' || request.method === 'HEAD') {
      // Some clients check that the server is there before they start.
      if (path === '/' || path === '/health') return json({ scripted: true })
      const described = models.map((id) => ({ type: 'model', id, display_name: id, created_at: '2026-01-01T00:00:00Z' }))
      if (path === '/v1/models') return json({ data: described, has_more: false, first_id: models[0], last_id: models.at(-1) })
      const one = described.find((model) => path === `/v1/models/${model.id}`)
      if (one) return json(one)
    }
    if (request.method === 'POST' && (path === '/v1/messages' || path === '/v1/messages/count_tokens')) {
      const body = await readBody(request)
      const conversation = readConversation(body)
      const refusal = (of: ReturnType<typeof refuse>) => {
        note(of.status)
        sendRefusal(response, of, requestId)
      }
      if (!conversation) return refusal(refuse(400, 'invalid_request_error', 'model and messages are required'))
      if (!request.headers['x-api-key'] && !request.headers.authorization)
        return refusal(refuse(401, 'authentication_error', 'x-api-key header is required'))
      if (path.endsWith('count_tokens')) return json({ input_tokens: tokensOf(JSON.stringify(body)) })

      const prompt = conversation.turns.at(-1)?.text ?? ''
      const key = conversation.tools.length > 0 ? prompt : `aside: ${prompt}`
      const before = repeats.get(key) ?? 0
      if (repeats.size >= maxRequests) repeats.clear()
      repeats.set(key, before + 1)

      const reply = answer(conversation, before, Date.now())
      const status = reply.kind === 'refusal' ? reply.status : reply.kind === 'hang' ? 'hang' : 200
      const { model, stream, tools, turns } = conversation
      const usage = reply.kind === 'message' ? usageOf(conversation, reply) : null
      const cost_usd = usage && costOf(model, usage)
      note(status, { model, stream, tools: tools.length, prompt: prompt.slice(0, 500), turns: turns.length, usage, cost_usd })
      if (reply.kind === 'hang') return
      if (reply.kind === 'refusal') return sendRefusal(response, reply, requestId)
      const ids = { message: randomId('msg_01'), tool: () => randomId('toolu_01') }
      return (stream ? sendStream : sendDocument)(response, conversation, reply, ids, gone.signal)
    }
    request.resume()
    note(404)
    sendRefusal(response, refuse(404, 'not_found_error', `${request.method} ${path} is not part of this API`), requestId)
  }

  const server = createServer((request, response) => {
    // The only failure left is a client that went away in the middle of an answer.
    handle(request, response).catch(() => response.destroy())
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port ?? 0, options.host ?? '127.0.0.1', resolve)
  })
  const address: AddressInfo | string | null = server.address()
  if (address === null || typeof address === 'string') throw new Error('the model server has no port')
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address
  return {
    url: `http://${host}:${address.port}`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
