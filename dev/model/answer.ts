// How the model chooses its answer: by a marker first, then for requests that clients make in the background, then for a few plain sentences.

import type { Conversation, Turn } from './conversation.ts'
import { repair } from './repair.ts'
import { callTool, say, type Reply } from './reply.ts'
import { scenarioReply } from './scenarios.ts'

const told = /\b(?:code ?)?word\b\W*(?:is|:|)\s*["'`]?([\w-]{2,})["'`]?/i
const asksForWord = /\b(?:what|which)\b[^.?!]*\bword\b|\bword\b[^.?!]*\?/i

/** The word of an earlier prompt of this conversation that asked to remember one; the latest wins. */
function toldWord(turns: readonly Turn[]): string | undefined {
  return turns
    .filter((turn) => /\bremember\b/i.test(turn.text) && !asksForWord.test(turn.text))
    .map((turn) => told.exec(turn.text)?.[1])
    .findLast((word) => word !== undefined)
}

export function answer(conversation: Conversation, repeats: number, now: number): Reply {
  const turn = conversation.turns.at(-1)
  if (!turn) return say('Nobody said anything.')
  // Requests for titles and summaries, which clients make in the background, never run a scenario.
  if (conversation.tools.length === 0 && /\b(title|summar|topic|branch name)/i.test(conversation.system)) return say('A scripted task')

  const scripted = scenarioReply(conversation, turn, repeats, now)
  if (scripted) return scripted

  if (asksForWord.test(turn.text)) {
    const word = toldWord(conversation.turns.slice(0, -1))
    return say(word === undefined ? 'I do not know: nobody told me a word in this conversation.' : `The word is ${word}.`)
  }
  if (/\bremember\b/i.test(turn.text) && told.test(turn.text)) return say(`I will remember the word ${told.exec(turn.text)![1]}.`)
  if (/\bfix\b/i.test(turn.text) && /\btests?\b/i.test(turn.text)) return repair(conversation, turn)

  const command = /\brun\b[^`]*`([^`]+)`/i.exec(turn.text)?.[1]
  if (command !== undefined) {
    if (turn.calls.length === 0) return callTool(conversation, 'bash', { command, description: 'Run the command' })
    return say(`I ran it. It printed:\n${turn.calls.at(-1)!.output ?? ''}`)
  }
  const first = turn.text.split('\n', 1)[0]!.slice(0, 200)
  return say(`Hello from the scripted model. I read your prompt ("${first}") and have nothing more to add.`)
}
