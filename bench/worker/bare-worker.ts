// The peer that `bench/line` measures against: the least that could carry events the same way. A WebSocket brings batches, a Durable
// Object writes each as one row and passes it on, a Worker streams it as Server-Sent Events. No auth, no checks, no numbering.
import { DurableObject } from 'cloudflare:workers'

interface Env {
  readonly LOG: DurableObjectNamespace<BareLog>
}

export class BareLog extends DurableObject<Env> {
  readers = new Set<WritableStreamDefaultWriter<Uint8Array>>()
  encoder = new TextEncoder()

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    ctx.storage.sql.exec('CREATE TABLE IF NOT EXISTS batch (id INTEGER PRIMARY KEY, body TEXT NOT NULL)')
  }

  override async fetch(request: Request): Promise<Response> {
    if (request.headers.get('upgrade') === 'websocket') {
      const { 0: client, 1: server } = new WebSocketPair()
      this.ctx.acceptWebSocket(server)
      return new Response(null, { status: 101, webSocket: client })
    }
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
    this.readers.add(writable.getWriter())
    return new Response(readable, { headers: { 'content-type': 'text/event-stream' } })
  }

  override webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): void {
    const lines = String(message)
    this.ctx.storage.sql.exec('INSERT INTO batch (body) VALUES (?)', lines)
    let text = ''
    for (const line of lines.split('\n')) text += `data: ${line}\n\n`
    const bytes = this.encoder.encode(text)
    for (const reader of this.readers) void reader.write(bytes)
    socket.send(String(lines.length))
  }
}

export default {
  fetch: (request: Request, env: Env): Promise<Response> => env.LOG.getByName('one').fetch(request),
} satisfies ExportedHandler<Env>
