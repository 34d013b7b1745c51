import type { ExitRecord } from '@rdev/shared/domain/attempt'
import type { AgentResult } from '@rdev/shared/domain/code-agent'
import { deniedTools } from './denied.ts'
import type { ClaudeState } from './state.ts'
import { endedFromOutside } from '../outcome.ts'

/** The result of a run: the exit record decides, then the provider's result, then the text outside the protocol. */
export function claudeResult(state: ClaudeState, exit: ExitRecord): AgentResult {
  const { exit_code } = exit
  const { result } = state
  const denied_tools = deniedTools(state.denied)
  const known = {
    exit_code,
    provider_session_id: state.session,
    ...(denied_tools && { denied_tools }),
    ...(state.spent && { usage: state.spent.usage, cost_usd: state.spent.cost_usd, turns: state.turns }),
  }
  const fail = (error_code: NonNullable<AgentResult['error_code']>, error: string): AgentResult => ({
    ...known,
    status: 'failed',
    error_code,
    error,
    ...(error_code === 'RATE_LIMITED' && { resets_at: state.limited?.resets_at }),
  })

  const outside = endedFromOutside(exit)
  if (outside) return { ...known, ...outside, ...unfinished(state), ...(result && !result.is_error && { result: result.text }) }
  if (state.givenUp) return fail(state.givenUp.code, state.givenUp.words)
  if (result) {
    if (result.is_error) return fail(result.code ?? 'AGENT_ERROR', result.text)
    // If the agent stopped the process after its result, the exit code is that of the signal and says nothing.
    if (exit.reason === 'exited' && exit_code !== 0)
      return { ...fail('AGENT_ERROR', `it exited with ${exit_code} after its result`), result: result.text }
    if (result.cut !== undefined)
      return { ...fail('AGENT_ERROR', `the answer is not whole, it ended with ${result.cut}`), result: result.text }
    if (state.stopped !== undefined) {
      const words = `claude ended, and stopped ${backgroundTasks(state.stopped)} that had not ended`
      return { ...fail('AGENT_ERROR', words), result: result.text }
    }
    if (result.text.trim() === '') return fail('EMPTY_RESULT', 'the agent ended without a final text')
    return { ...known, status: 'succeeded', result: result.text }
  }
  const words = state.words.trim()
  if ((exit_code === 127 || exit_code === 126) && !state.started) return fail('BINARY_MISSING', words || 'claude is not in this pod')
  if (state.code) return fail(state.code, words || 'the provider refused')
  if (exit_code === 0) return fail('EMPTY_RESULT', words || 'the agent ended without a result')
  return fail('AGENT_ERROR', words === '' ? `claude exited with ${exit_code} and no result` : words)
}

const backgroundTasks = (count: number): string => `${count} background ${count === 1 ? 'task' : 'tasks'}`

/** What was still at work when the run was ended from outside. */
function unfinished({ background: { tasks } }: ClaudeState): Partial<AgentResult> {
  if (tasks.length === 0) return {}
  return { unfinished: backgroundTasks(tasks.length) }
}
