// Writes a reply in the Messages API's two shapes: one JSON document, or Server-Sent Events as the block grows.

import type { ServerResponse } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { tokensOf, type Conversation } from './conversation.ts'
import type { Block, Message, Refusal, Usage } from './reply.ts'

export interface Ids {
  readonly message: string
  readonly tool: (index: number) => string
}

const contentOf = (block: Block): string =>
  block.type === 'text' ? block.text : block.type === 'thinking' ? block.thinking : JSON.stringify(block.input)

const stopReason = (message: Message): string =>
  message.stopReason ?? (message.blocks.some((block) => block.type === 'tool_use') ? 'tool_use' : 'end_turn')

export function usageOf(conversation: Conversation, message: Message): Usage {
  if (message.usage) return message.usage
  const input = conversation.system + conversation.turns.map((turn) => turn.text + JSON.stringify(turn.calls)).join('')
  return {
    input_tokens: tokensOf(input),
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    output_tokens: tokensOf(message.blocks.map(contentOf).join('')),
  }
}

const envelope = (conversation: Conversation, ids: Ids) => ({
  id: ids.message,
  type: 'message',
  role: 'assistant',
  model: conversation.model,
  stop_sequence: null,
})

export function sendRefusal(response: ServerResponse, refusal: Refusal, requestId: string): void {
  response.writeHead(refusal.status, { 'content-type': 'application/json', 'request-id': requestId, ...refusal.headers })
  response.end(JSON.stringify({ type: 'error', error: { type: refusal.type, message: refusal.message }, request_id: requestId }))
}

export async function sendDocument(
  response: ServerResponse,
  conversation: Conversation,
  message: Message,
  ids: Ids,
  signal: AbortSignal,
): Promise<void> {
  if (message.overMs) await wait(message.overMs, undefined, { signal })
  if (message.stall) return
  const content = message.blocks.map((block, index) => (block.type === 'tool_use' ? { ...block, id: ids.tool(index) } : block))
  response.writeHead(200, { 'content-type': 'application/json', 'request-id': ids.message })
  response.end(
    JSON.stringify({ ...envelope(conversation, ids), content, stop_reason: stopReason(message), usage: usageOf(conversation, message) }),
  )
}

/** Divides a text after every `size` characters, never inside a surrogate pair. */
function* pieces(text: string, size: number): Generator<string> {
  for (let at = 0; at < text.length;) {
    let end = Math.min(text.length, at + size)
    if (end < text.length && (text.charCodeAt(end - 1) & 0xfc00) === 0xd800) end++
    yield text.slice(at, end)
    at = end
  }
}

export async function sendStream(
  response: ServerResponse,
  conversation: Conversation,
  message: Message,
  ids: Ids,
  signal: AbortSignal,
): Promise<void> {
  const event = async (type: string, data: object) => {
    const room = response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`)
    // A client that went away never causes `drain`; its `close` ends the wait.
    if (!room && !signal.aborted) {
      await new Promise<void>((resolve) => {
        response.once('drain', resolve)
        response.once('close', resolve)
      })
    }
    signal.throwIfAborted()
  }
  const chunk = message.chunk ?? 24
  const usage = usageOf(conversation, message)
  const total = message.blocks.reduce((sum, block) => sum + Math.ceil(contentOf(block).length / chunk), 0)
  const pauseMs = (message.overMs ?? 0) / Math.max(1, total)

  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache', 'request-id': ids.message })
  await event('message_start', {
    message: { ...envelope(conversation, ids), content: [], stop_reason: null, usage: { ...usage, output_tokens: 1 } },
  })
  await event('ping', {})
  let sent = 0
  for (const [index, block] of message.blocks.entries()) {
    const empty =
      block.type === 'text'
        ? { type: 'text', text: '' }
        : block.type === 'thinking'
          ? { type: 'thinking', thinking: '', signature: '' }
          : { type: 'tool_use', id: ids.tool(index), name: block.name, input: {} }
    await event('content_block_start', { index, content_block: empty })
    for (const piece of pieces(contentOf(block), chunk)) {
      const delta =
        block.type === 'text'
          ? { type: 'text_delta', text: piece }
          : block.type === 'thinking'
            ? { type: 'thinking_delta', thinking: piece }
            : { type: 'input_json_delta', partial_json: piece }
      await event('content_block_delta', { index, delta })
      if (++sent * 2 >= total && message.stall) return
      if (pauseMs > 0) await wait(pauseMs, undefined, { signal })
    }
    if (block.type === 'thinking')
      await event('content_block_delta', { index, delta: { type: 'signature_delta', signature: block.signature } })
    await event('content_block_stop', { index })
  }
  await event('message_delta', {
    delta: { stop_reason: stopReason(message), stop_sequence: null },
    usage: { output_tokens: usage.output_tokens },
  })
  await event('message_stop', {})
  response.end()
}
