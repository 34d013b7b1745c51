import type { Conversation } from './conversation.ts'

export type Block =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'thinking'; readonly thinking: string; readonly signature: string }
  | { readonly type: 'tool_use'; readonly name: string; readonly input: Readonly<Record<string, unknown>> }

export interface Message {
  readonly kind: 'message'
  readonly blocks: readonly Block[]
  /** Spread the answer over this many milliseconds. */
  readonly overMs?: number
  /** Characters in one delta. */
  readonly chunk?: number
  /** Stop in the middle, and keep the connection open without sending. */
  readonly stall?: boolean
  /** Why it ends; else by what it holds. */
  readonly stopReason?: string
  /** The tokens that it costs; else about what its text takes. */
  readonly usage?: Usage
}

/** Tokens, as the Messages API counts them. */
export interface Usage {
  readonly input_tokens: number
  readonly output_tokens: number
  readonly cache_creation_input_tokens: number
  readonly cache_read_input_tokens: number
}

export interface Refusal {
  readonly kind: 'refusal'
  readonly status: number
  readonly type: string
  readonly message: string
  readonly headers?: Readonly<Record<string, string>>
}

/** `hang`: the request is read and never answered. */
export type Reply = Message | Refusal | { readonly kind: 'hang' }

export const say = (...paragraphs: readonly string[]): Message => ({
  kind: 'message',
  blocks: paragraphs.map((text) => ({ type: 'text', text })),
})

export const think = (thinking: string): Block => ({ type: 'thinking', thinking, signature: 'c2NyaXB0ZWQ=' })

export const refuse = (status: number, type: string, message: string, headers: Readonly<Record<string, string>> = {}): Refusal => ({
  kind: 'refusal',
  status,
  type,
  message,
  headers,
})

const plain = (name: string): string => name.toLowerCase().replaceAll('_', '')

/**
 * A call of one of the client's tools: `bash`, `read`, `edit`, `write`. Clients name tools and their fields differently (`Read.file_path`,
 * `read.filePath`), so both are looked up in the request. If there is no such tool, the model says so.
 */
export function callTool(conversation: Conversation, name: string, input: Readonly<Record<string, unknown>>, before = ''): Message {
  const tool = conversation.tools.find((candidate) => plain(candidate.name) === name)
  if (!tool) return say(`I would use the tool "${name}" now, but this client does not offer it.`)
  const named: Record<string, unknown> = {}
  for (const [field, value] of Object.entries(input)) {
    const property = tool.properties.find((candidate) => plain(candidate) === plain(field))
    if (property !== undefined) named[property] = value
  }
  for (const field of tool.required) if (!(field in named)) named[field] = `Scripted ${name}`
  const call: Block = { type: 'tool_use', name: tool.name, input: named }
  return { kind: 'message', blocks: before === '' ? [call] : [{ type: 'text', text: before }, call] }
}
