// Reading what a stream sent, as clients do.

import { createParser } from 'eventsource-parser'
import type { EventSourceMessage } from 'eventsource-parser'

/** Chunks as they come. `cancel` is a client that goes away. */
export function chunksOf(response: Response): { next(): Promise<string | undefined>; rest(): Promise<string>; cancel(): Promise<void> } {
  const reader = response.body!.getReader()
  const decoder = new TextDecoder()
  const next = async () => {
    const { done, value } = await reader.read()
    return done ? undefined : decoder.decode(value, { stream: true })
  }
  return {
    next,
    async rest() {
      let text = ''
      for (;;) {
        const chunk = await next()
        if (chunk === undefined) return text
        text += chunk
      }
    },
    cancel: () => reader.cancel(),
  }
}

export function parseSse(text: string): readonly EventSourceMessage[] {
  const events: EventSourceMessage[] = []
  createParser({ onEvent: (event) => void events.push(event) }).feed(text)
  return events
}
