// A Messages API request as the scripted model sees it: the prompts, and the tool calls after each. All state of a scenario is derived from
// it, so the model remembers exactly what the client sent.

export interface Tool {
  readonly name: string
  readonly properties: readonly string[]
  readonly required: readonly string[]
}

export interface ToolCall {
  readonly id: string
  readonly name: string
  readonly input: Readonly<Record<string, unknown>>
  /** Undefined until the client answered. */
  readonly output?: string
  readonly isError?: boolean
}

/** A prompt, and the model's tool calls after it. */
export interface Turn {
  readonly text: string
  readonly calls: readonly ToolCall[]
  /** The model's messages after it. */
  readonly answers: number
}

export interface Conversation {
  readonly model: string
  readonly stream: boolean
  readonly system: string
  readonly tools: readonly Tool[]
  readonly turns: readonly Turn[]
}

type Json = Readonly<Record<string, unknown>>
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)
const objects = (value: unknown): readonly Json[] => (Array.isArray(value) ? value.filter(isObject) : [])
const text = (value: unknown): string => (typeof value === 'string' ? value : '')

/** The text of a content field, which is a string or a list of blocks. */
function plainText(content: unknown): string {
  if (typeof content === 'string') return content
  return objects(content)
    .filter((block) => block.type === 'text')
    .map((block) => text(block.text))
    .join('\n')
}

/** Clients wrap their own remarks in this tag inside user messages; they are not part of the prompt. */
const withoutReminders = (value: string): string => value.replace(/<system-reminder>[\s\S]*?<\/system-reminder>/g, '').trim()

/** Undefined if the body is not a Messages API request. */
export function readConversation(body: unknown): Conversation | undefined {
  if (!isObject(body) || typeof body.model !== 'string' || !Array.isArray(body.messages) || body.messages.length === 0) return undefined
  const turns: { text: string; calls: ToolCall[]; answers: number }[] = []
  for (const message of objects(body.messages)) {
    const blocks = objects(message.content)
    if (message.role === 'assistant') {
      const turn = turns.at(-1)
      if (turn) turn.answers++
      for (const block of blocks) {
        if (block.type !== 'tool_use') continue
        turns.at(-1)?.calls.push({ id: text(block.id), name: text(block.name), input: isObject(block.input) ? block.input : {} })
      }
    } else if (message.role === 'user') {
      const results = blocks.filter((block) => block.type === 'tool_result')
      for (const result of results) {
        const calls = turns.at(-1)?.calls ?? []
        const at = calls.findIndex((call) => call.id === result.tool_use_id)
        if (at >= 0) calls[at] = { ...calls[at]!, output: plainText(result.content), isError: result.is_error === true }
      }
      const said = withoutReminders(plainText(message.content))
      if (results.length === 0 && said !== '') turns.push({ text: said, calls: [], answers: 0 })
    }
  }
  const tools = objects(body.tools).map((tool) => {
    const schema = isObject(tool.input_schema) ? tool.input_schema : {}
    return {
      name: text(tool.name),
      properties: Object.keys(isObject(schema.properties) ? schema.properties : {}),
      required: Array.isArray(schema.required) ? schema.required.filter((name) => typeof name === 'string') : [],
    }
  })
  return { model: body.model, stream: body.stream === true, system: plainText(body.system), tools, turns }
}

/** About four bytes a token, which is near the real count. */
export const tokensOf = (value: string): number => Math.max(1, Math.ceil(value.length / 4))
