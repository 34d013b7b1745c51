// A small client of the public API for the embedded start, the tests and the benches: over HTTP, like any user.
import { createParser } from 'eventsource-parser'
import type { TaskEvent } from '@rdev/shared/domain/event'
import type { TaskView } from '@rdev/shared/api/tasks'

export interface Client {
  readonly url: string
  readonly key: string
  /** Sends JSON, answers the parsed body; throws with method, path, status and body when the status is not 2xx. */
  json<Body>(method: string, path: string, body?: unknown): Promise<Body>
  fetch(
    method: string,
    path: string,
    options?: { body?: unknown; headers?: Record<string, string>; signal?: AbortSignal },
  ): Promise<Response>
  task(body: Record<string, unknown>): Promise<TaskView>
  /** Waits for the end of a task. */
  finished(id: string): Promise<TaskView>
  /** The stream of a task's events; ends after task.finished. Reconnects with Last-Event-ID when `resume` is given. */
  events(id: string, options?: { after?: number; resume?: boolean; signal?: AbortSignal }): AsyncGenerator<TaskEvent>
}

export function createClient(url: string, key: string): Client {
  const send: Client['fetch'] = (method, path, options = {}) =>
    fetch(url + path, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        // No compression, as with curl: Miniflare would compress each answer, which costs more than it saves on loopback.
        'accept-encoding': 'identity',
        ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...options.headers,
      },
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      ...(options.signal ? { signal: options.signal } : {}),
    })

  async function json<Body>(method: string, path: string, body?: unknown): Promise<Body> {
    const response = await send(method, path, { body })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text.slice(0, 500)}`)
    return JSON.parse(text) as Body
  }

  async function* events(id: string, options: { after?: number; resume?: boolean; signal?: AbortSignal } = {}): AsyncGenerator<TaskEvent> {
    let last = options.after ?? 0
    for (;;) {
      try {
        const response = await send('GET', `/v1/tasks/${id}/events`, {
          headers: { accept: 'text/event-stream', ...(last > 0 ? { 'last-event-id': String(last) } : {}) },
          ...(options.signal ? { signal: options.signal } : {}),
        })
        if (response.status === 204) return
        if (!response.ok || !response.body) throw new Error(`GET events of ${id} answered ${response.status}: ${await response.text()}`)
        const waiting: TaskEvent[] = []
        let ended = false
        const parser = createParser({
          onEvent: (event) => {
            if (event.id !== undefined && event.id !== '' && !event.event?.startsWith('stream.'))
              waiting.push(JSON.parse(event.data) as TaskEvent)
          },
        })
        for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
          parser.feed(text)
          for (const event of waiting.splice(0)) {
            last = event.seq
            yield event
            ended = event.type === 'task.finished'
          }
        }
        if (ended || !options.resume) return
      } catch (error) {
        if (!options.resume || options.signal?.aborted) throw error
        // The control plane is restarting. Like EventSource, wait for `retry` milliseconds.
        await new Promise((resolve) => setTimeout(resolve, 200))
      }
    }
  }

  return {
    url,
    key,
    json,
    fetch: send,
    events,
    task: (body) => json('POST', '/v1/tasks', body),
    finished: async (id) => {
      for (;;) {
        const task = await json<TaskView>('GET', `/v1/tasks/${id}?wait_s=30`)
        if (task.finished_at !== null) return task
      }
    },
  }
}
