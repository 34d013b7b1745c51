import type { ExitRecord } from '@rdev/shared/domain/attempt'
import type { AgentResult } from '@rdev/shared/domain/code-agent'
import { codeOfWords } from '../classify.ts'
import type { OpenCodeState } from './state.ts'
import { endedFromOutside } from '../outcome.ts'
import { refusedExit } from './settings.ts'

/** The result of a run. The server never ends by itself: after `stopped` the run was complete, and the state has its result. */
export function openCodeResult(state: OpenCodeState, exit: ExitRecord, words: string): AgentResult {
  const denied_tools = Object.entries(state.denied).map(([name, count]) => ({ name, count }))
  const known = {
    provider_session_id: state.session,
    ...((state.turns > 0 || state.cost_usd > 0) && { usage: state.usage, cost_usd: state.cost_usd, turns: state.turns }),
    ...(denied_tools.length > 0 && { denied_tools }),
  }
  const outside = endedFromOutside(exit)
  if (outside) return { ...known, ...outside }
  if (state.error) {
    const { code, message, resets_at } = state.error
    // Half an answer is worth keeping.
    const half = state.finish === 'length' && state.text.trim() !== '' ? { result: state.text } : {}
    return { ...known, ...half, status: 'failed', error_code: code, error: message, ...(code === 'RATE_LIMITED' && { resets_at }) }
  }
  if (exit.reason === 'exited') {
    const { exit_code } = exit
    const said = words.trim()
    if ((exit_code === 127 || exit_code === 126) && !state.started)
      return { status: 'failed', error_code: 'BINARY_MISSING', error: said || 'opencode is not in this pod', exit_code }
    if (exit_code === refusedExit && !state.started) return { status: 'failed', error_code: 'INVALID_SPEC', error: said, exit_code }
    return {
      ...known,
      status: 'failed',
      error_code: codeOfWords(said) ?? 'AGENT_ERROR',
      error: said || `opencode exited with ${exit_code}`,
      exit_code,
    }
  }
  if (state.text.trim() === '')
    return { ...known, status: 'failed', error_code: 'EMPTY_RESULT', error: 'the agent ended without a final text' }
  return { ...known, status: 'succeeded', result: state.text }
}
