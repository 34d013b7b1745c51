// Scenes that need what Claude Code offers: work in the background, subagents, and the ends of an answer that it treats in its own way. Their
// tokens are scripted, so that a test can say exactly what a run costs: the answer number k since the prompt takes 100 + k in, 10 + k out, writes
// 1000 into the cache and reads 2000 k from it.

import type { Conversation, Turn } from './conversation.ts'
import { callTool, refuse, say, type Message } from './reply.ts'
import type { Scene } from './scenarios.ts'

/** How many answers of the model there were since the prompt, notices of the client included. */
function answersSince(conversation: Conversation, turn: Turn): number {
  return conversation.turns.slice(conversation.turns.indexOf(turn)).reduce((sum, each) => sum + each.answers, 0)
}

function metered({ conversation, turn }: Scene, message: Message): Message {
  const k = answersSince(conversation, turn)
  const usage = { input_tokens: 100 + k, output_tokens: 10 + k, cache_creation_input_tokens: 1000, cache_read_input_tokens: 2000 * k }
  return { ...message, usage }
}

const lastOutput = (turn: Turn): string => turn.calls.at(-1)?.output ?? ''

/** A tool that starts a subagent has one of two names. */
function subagent(scene: Scene, more: object): Message {
  const { conversation, turn, argument } = scene
  if (turn.calls.length > 0) return metered(scene, say(`The subagent was asked ${answersSince(conversation, turn)} answers ago.`))
  const name = conversation.tools.some((tool) => tool.name === 'Agent') ? 'agent' : 'task'
  const prompt = `[[scenario: bash ${argument || 'echo from a subagent'}]]`
  const input = { description: 'Ask a subagent', prompt, subagent_type: 'general-purpose', ...more }
  return metered(scene, callTool(conversation, name, input))
}

export const claudeScenes = {
  metered: (scene: Scene) => metered(scene, say(scene.argument || 'A metered answer.')),

  bash: (scene: Scene) => {
    const { conversation, turn, argument } = scene
    if (turn.calls.length > 0) return metered(scene, say(`The tool answered:\n${lastOutput(turn)}`))
    return metered(scene, callTool(conversation, 'bash', { command: argument || 'echo ok', description: 'Run the command' }))
  },

  bg: (scene: Scene) => {
    const { conversation, turn, argument } = scene
    const answers = answersSince(conversation, turn)
    if (answers >= 2) return metered(scene, say('The background command has ended.'))
    if (turn.calls.length > 0) return metered(scene, say('It runs in the background.'))
    const input = { command: argument || 'sleep 8; echo done', description: 'Run in the background', run_in_background: true }
    return metered(scene, callTool(conversation, 'bash', input))
  },

  sub: (scene: Scene) => subagent(scene, {}),
  subbg: (scene: Scene) => subagent(scene, { run_in_background: true }),

  /** N tool calls one after the other, the last of which takes long. */
  steps: (scene: Scene) => {
    const { conversation, turn, argument } = scene
    const wanted = Number.parseInt(argument, 10) || 2
    const last = turn.calls.length >= wanted - 1
    if (turn.calls.length >= wanted) return metered(scene, say('All steps are done.'))
    const command = last ? 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do sleep 1; done' : `echo step ${turn.calls.length + 1}`
    return metered(scene, callTool(conversation, 'bash', { command, description: 'Do a step' }))
  },

  /** Without the header that tells clients not to try again, as behind a gateway. */
  r401: () => refuse(401, 'authentication_error', 'invalid x-api-key'),

  /** First a 429 that passes by itself, then an answer, then a limit that lasts an hour. */
  r429mix: (scene: Scene) => {
    const { conversation, turn, repeats } = scene
    if (turn.calls.length > 0) return refuse(429, 'rate_limit_error', 'The limit is reached.', { 'retry-after': '3600' })
    if (repeats === 0) return refuse(429, 'rate_limit_error', 'Too many at once.')
    return metered(scene, callTool(conversation, 'bash', { command: 'echo between', description: 'Run the command' }))
  },

  pause: (scene: Scene) => ({ ...metered(scene, say('The first half of an answer,')), stopReason: 'pause_turn' }),
  cut: (scene: Scene) => ({ ...metered(scene, say('The first piece of an answer,')), stopReason: 'max_tokens' }),
}
