// Scenes that need what OpenCode offers, or that it treats in its own way. Tokens are scripted as in claude-scenes.ts.

import { claudeScenes } from './claude-scenes.ts'
import { callTool, refuse, say } from './reply.ts'
import type { Scene } from './scenarios.ts'

/** The scene's message with the tokens of `metered`. */
const { metered } = claudeScenes
const counted = (scene: Scene) => ({ usage: metered(scene).usage! })

export const openCodeScenes = {
  /** A subagent that runs a command; its prompt is another scene. */
  task: (scene: Scene) => {
    const { conversation, turn, argument } = scene
    if (turn.calls.length > 0) return { ...say(`The subagent answered:\n${turn.calls.at(-1)!.output ?? ''}`), ...counted(scene) }
    const prompt = `[[scenario: bash ${argument || 'echo from a subagent'}]]`
    return { ...callTool(conversation, 'task', { description: 'Ask a subagent', prompt, subagent_type: 'general' }), ...counted(scene) }
  },

  /** Too long at first; clients make the conversation shorter and ask again. */
  long: (scene: Scene) =>
    scene.repeats === 0
      ? refuse(400, 'invalid_request_error', 'prompt is too long: 250000 tokens > 200000 maximum', { 'x-should-retry': 'false' })
      : metered({ ...scene, argument: 'An answer after it was made shorter.' }),

  /** Half an answer, because the context window is full. */
  full: (scene: Scene) => ({ ...metered({ ...scene, argument: 'first half,' }), stopReason: 'model_context_window_exceeded' }),

  /** Whether the system prompt has these words. */
  system: ({ conversation, argument }: Scene) => say(conversation.system.includes(argument) ? 'It is there.' : 'It is not there.'),

  /** N short answers that promise a tool call and make none, then an end. */
  restless: (scene: Scene) => {
    const wanted = Number.parseInt(scene.argument, 10) || 3
    const message = metered({ ...scene, argument: `Short answer ${scene.repeats + 1}.` })
    return scene.repeats < Math.min(wanted, 20) ? { ...message, stopReason: 'tool_use' } : message
  },
}
