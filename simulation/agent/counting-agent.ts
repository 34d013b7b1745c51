// The simulator's code agent: emits the output of its process, and counts the lines in the cursor, as a real one keeps its state there for a
// restart.

import { agentCapabilities } from '@rdev/shared/domain/capabilities'
import type { Cursor } from '@rdev/shared/domain/attempt'
import type { AgentResult } from '@rdev/shared/domain/code-agent'
import { pause } from '../../cluster-agent/src/drive.ts'
import type { Attempt, AttemptDirectories, CodeAgent, NewEvent, Timers } from '../../cluster-agent/src/ports.ts'
import { runCommand } from '../../cluster-agent/src/runner/commands.ts'
import { planOf } from '../world/plan.ts'

interface CountState {
  readonly lines: number
  readonly last: string
}

/** The longest time that a provider takes to answer a request to stop; longer than the runner waits. */
const slowestAnswerMs = 3_000

export function createCountingAgent(run: AttemptDirectories['run'], timers: Timers): CodeAgent {
  return {
    provider: 'claude-code',
    capabilities: () => agentCapabilities['claude-code'],
    available: async (pod) => (await run(pod, 'command -v claude', 10_000)).exit_code === 0,

    execute(request, attempt) {
      let said = (attempt.cursor.state as CountState | undefined) ?? { lines: 0, last: '' }
      const counted = {
        assignment: attempt.assignment,
        cursor: attempt.cursor,
        process: (...spec: Parameters<Attempt['process']>) => attempt.process(...spec),
        output: () => attempt.output(),
        exited: () => attempt.exited(),
        after: (ms: number, run: () => void) => attempt.after(ms, run),
        emit: (events: readonly NewEvent[], cursor: Cursor) => {
          for (const { data } of events) if (data['stream'] === 'stdout') said = { lines: said.lines + 1, last: String(data['text']) }
          return attempt.emit(events, { ...cursor, state: said })
        },
      }
      return runCommand(counted, `claude\n${request.prompt}\n`, ({ exit_code }): AgentResult => {
        const { session_id, attempt: number } = attempt.assignment
        const known = { exit_code, provider_session_id: `conversation of ${session_id}` }
        if (exit_code === 0) return { ...known, status: 'succeeded', result: `said ${said.lines > 0 ? 'something' : 'nothing'}` }
        const code = exit_code === 127 ? 'BINARY_MISSING' : (planOf(request.prompt, number).fails ?? 'AGENT_ERROR')
        return { ...known, status: 'failed', error_code: code, error: 'it failed' }
      })
    },

    cancel: () => pause(timers, timers.random() * slowestAnswerMs),
  }
}
