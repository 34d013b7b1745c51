// `[[scenario: NAME ARGUMENT]]` in a prompt chooses what the model does; a command may also stand in a `[[command: …]]` of its own, to the end
// of its line. README.md lists them for people.

import { claudeScenes } from './claude-scenes.ts'
import type { Conversation, Turn } from './conversation.ts'
import { openCodeScenes } from './opencode-scenes.ts'
import { callTool, refuse, say, think, type Reply } from './reply.ts'

export interface Scene {
  readonly conversation: Conversation
  readonly turn: Turn
  readonly argument: string
  /** How many requests with the same prompt came before. Only this is not in the request itself. */
  readonly repeats: number
  readonly now: number
}

const number = (argument: string, otherwise: number): number => {
  const value = Number.parseFloat(argument)
  return Number.isFinite(value) ? value : otherwise
}

const finished = (turn: Turn): string => {
  const last = turn.calls.at(-1)
  return last?.isError === true ? `The tool failed: ${last.output ?? ''}` : `The tool answered:\n${last?.output ?? ''}`
}

const overloaded = () => refuse(529, 'overloaded_error', 'Overloaded', { 'x-should-retry': 'true' })

const scenarios: Readonly<Record<string, (scene: Scene) => Reply>> = {
  plain: ({ argument }) => say(argument || 'A plain answer.'),

  echo: ({ conversation }) => {
    const said = conversation.turns.map((turn, index) => `${index + 1}. ${turn.text.slice(0, 200)}`)
    return say(`I saw ${said.length} ${said.length === 1 ? 'prompt' : 'prompts'} in this conversation.\n${said.join('\n')}`)
  },

  tool: ({ conversation, turn, argument }) =>
    turn.calls.length === 0
      ? callTool(conversation, 'bash', { command: argument || 'echo hello from a tool', description: 'Run the command' })
      : say(finished(turn)),

  write: ({ conversation, turn, argument }) => {
    const [path = '', ...words] = argument.split(' ')
    if (turn.calls.length > 0) return say(`Wrote ${path}.`)
    return callTool(conversation, 'write', { file_path: path || 'note.txt', content: `${words.join(' ') || 'A note.'}\n` })
  },

  turns: ({ conversation, turn, argument }) => {
    const wanted = number(argument, 3)
    const done = turn.calls.length
    if (done >= wanted) return say(`Done after ${done} tool calls.`)
    const command = `echo turn ${done + 1} of ${wanted}`
    return callTool(conversation, 'bash', { command, description: `Turn ${done + 1}` }, `Turn ${done + 1}.`)
  },

  thinking: () => ({
    kind: 'message',
    blocks: [think('The person wants to see me think. So I think, and then I answer.'), { type: 'text', text: 'I have thought about it.' }],
  }),

  slow: ({ argument }) => ({
    ...say(Array.from({ length: 40 }, (_, i) => `word ${i + 1}`).join(', ')),
    overMs: number(argument, 4) * 1000,
    chunk: 12,
  }),

  huge: ({ argument }) => {
    const line = `${'All work and no play makes a long line. '.repeat(24)}\n`
    const bytes = number(argument, 3) * 1024 * 1024
    return { ...say(line.repeat(Math.ceil(bytes / line.length))), chunk: 16 * 1024 }
  },

  background: ({ conversation, turn, argument }) => {
    const seconds = number(argument, 300)
    if (turn.calls.length > 0) return say(finished(turn))
    // A child in a session of its own, and a foreground process that waits. A cancel must end both.
    const command = `setsid sleep ${seconds} >/dev/null 2>&1 & echo started; sleep ${seconds}`
    return callTool(conversation, 'bash', { command, description: 'Start a child and wait', timeout: 600_000 })
  },

  hang: () => ({ kind: 'hang' }),
  stall: () => ({ ...say('I will say this much, and then nothing more for a very long time.'), chunk: 10, stall: true }),

  '429': ({ argument, now }) => {
    const seconds = number(argument, 3600)
    const resetAt = Math.ceil(now / 1000) + seconds
    return refuse(429, 'rate_limit_error', 'This request would exceed your rate limit. Please try again later.', {
      'retry-after': String(seconds),
      'anthropic-ratelimit-requests-limit': '50',
      'anthropic-ratelimit-requests-remaining': '0',
      'anthropic-ratelimit-requests-reset': new Date(resetAt * 1000).toISOString(),
      'anthropic-ratelimit-unified-status': 'rejected',
      'anthropic-ratelimit-unified-representative-claim': 'five_hour',
      'anthropic-ratelimit-unified-reset': String(resetAt),
    })
  },
  '529': overloaded,
  flaky: ({ argument, repeats }) => (repeats < number(argument, 1) ? overloaded() : say(`An answer after ${repeats} failures.`)),
  '401': () => refuse(401, 'authentication_error', 'invalid x-api-key', { 'x-should-retry': 'false' }),
  '400': () => refuse(400, 'invalid_request_error', 'The scripted model was told to refuse this request.', { 'x-should-retry': 'false' }),
  empty: () => ({ kind: 'message', blocks: [] }),
  ...claudeScenes,
  ...openCodeScenes,
}

export const scenarioNames = Object.keys(scenarios)

/** A client's own notice is no prompt, so the scene goes on: work in the background has ended, or an answer was cut. */
const isNotice = (turn: Turn): boolean => /^(?:<task-notification>|Output token limit hit\.)/.test(turn.text)

/** What the marker in the latest prompt asks for; undefined if there is none, or an unknown one. */
export function scenarioReply(conversation: Conversation, latest: Turn, repeats: number, now: number): Reply | undefined {
  const turn = conversation.turns.findLast((each) => !isNotice(each)) ?? latest
  const command = /\[\[command:\s*(.*)\]\]/.exec(turn.text)
  const marker = /\[\[scenario:\s*(\S+?)(?:\s+(.*))?\]\]/.exec(command ? turn.text.replace(command[0], '') : turn.text)
  if (!marker) return undefined
  const scenario = Object.hasOwn(scenarios, marker[1]!) ? scenarios[marker[1]!] : undefined
  if (!scenario) return refuse(400, 'invalid_request_error', `There is no scenario "${marker[1]}"; there are: ${scenarioNames.join(', ')}`)
  return scenario({ conversation, turn, argument: (command?.[1] ?? marker[2] ?? '').trim(), repeats, now })
}
