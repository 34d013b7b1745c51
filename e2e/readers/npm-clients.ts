// Public clients of Server-Sent Events from npm, as their users write them.
import { fetchEventSource } from '@microsoft/fetch-event-source'
import { EventSource } from 'eventsource'
import type { ErrorEvent } from 'eventsource'
import { createEventSource } from 'eventsource-client'
import { storedEventTypes, transientEventTypes } from '@rdev/shared/domain/event'
import type { Client, Reading } from './reading.ts'

/** What an answer with this status ends is over for each client. */
const isLast = (status: number) => status === 204 || status === 401
const headersOf = (key: string | undefined): Record<string, string> => (key === undefined ? {} : { authorization: `Bearer ${key}` })

/** The API of browsers: with a ticket there is nothing but a URL. */
const eventSource: Client = ({ url, key, got, failed }): Reading => {
  const withHeaders = (input: string | URL, init: { headers: Record<string, string> }) =>
    fetch(input, { ...init, headers: { ...init.headers, ...headersOf(key) } })
  const source = key === undefined ? new EventSource(url) : new EventSource(url, { fetch: withHeaders as typeof fetch })
  const { promise: ended, resolve } = Promise.withResolvers<number>()
  for (const type of [...storedEventTypes, ...transientEventTypes, 'message'])
    source.addEventListener(type, (event: MessageEvent | ErrorEvent) => {
      // `error` is a type of the log, and the word of EventSource itself for a lost connection.
      if ('data' in event) return got({ type, id: event.lastEventId, data: String(event.data) })
      if (source.readyState !== source.CLOSED) return
      if (event.code === undefined) failed(new Error(`EventSource has given up: ${event.message}`))
      else resolve(event.code)
    })
  return { ended, close: () => source.close() }
}

/** Knows 204; another status is nothing to it, so its user looks. */
const eventSourceClient: Client = ({ url, key, got }): Reading => {
  const { promise: ended, resolve } = Promise.withResolvers<number>()
  const source = createEventSource({
    url,
    headers: headersOf(key),
    fetch: (async (input: string | URL, init: RequestInit) => {
      const response = await fetch(input, init)
      if (isLast(response.status)) {
        resolve(response.status)
        source.close()
      }
      return response
    }) as never,
    onMessage: ({ id, event, data }) => got({ id, type: event, data }),
  })
  return { ended, close: () => source.close() }
}

class Over extends Error {}

/** Comes back after an error only, so its user makes one of each end. */
const fetchEvents: Client = ({ url, key, got, failed }): Reading => {
  const over = new AbortController()
  const { promise: ended, resolve } = Promise.withResolvers<number>()
  fetchEventSource(url, {
    headers: headersOf(key),
    signal: over.signal,
    openWhenHidden: true,
    onopen: async ({ status }) => {
      if (isLast(status)) {
        resolve(status)
        throw new Over()
      }
      if (status !== 200) throw new Error(`the stream was answered with ${status}`)
    },
    onmessage: ({ id, event, data }) => got({ id, type: event, data }),
    onclose: () => {
      throw new Error('the stream has ended')
    },
    onerror: (error) => {
      if (error instanceof Over) throw error
    },
  }).catch((error: unknown) => {
    if (!(error instanceof Over)) failed(error as Error)
  })
  return { ended, close: () => over.abort() }
}

export const npmClients: Readonly<Record<string, Client>> = {
  eventsource: eventSource,
  'eventsource-client': eventSourceClient,
  'fetch-event-source': fetchEvents,
}

/** What fetch-event-source finds in a page. */
export function likePage(): { leave(): void } {
  const page = { window: globalThis, document: { hidden: false, addEventListener: () => {}, removeEventListener: () => {} } }
  Object.assign(globalThis, page)
  return {
    leave: () => {
      for (const name of Object.keys(page)) Reflect.deleteProperty(globalThis, name)
    },
  }
}
