// A code agent for fast tests of the whole way: a real process of the pod does what the prompt says, one order a line:
//   say TEXT · think TEXT · sleep SECONDS · fail TEXT · exit CODE · done (that was the result) · linger (do not exit)
// The last `say` is the result. The cursor is a byte offset at the end of a line, like that of a real code agent.

import type { AgentProvider, AgentResult } from '@rdev/shared/domain/code-agent'
import { startCursor } from '@rdev/shared/domain/attempt'
import type { CodeAgent } from '../ports.ts'
import { LineReader } from './lines.ts'
import { quote } from '../sh.ts'

interface DummyState {
  readonly said?: string
  readonly failed?: string
}

export function createDummyAgent(provider: AgentProvider = 'claude-code'): CodeAgent {
  return {
    provider,
    capabilities: () => ({
      provider,
      name: 'Dummy',
      resume: false,
      deltas: true,
      allowed_tools: false,
      permission_modes: [],
      reports_cost: false,
    }),
    available: () => Promise.resolve(true),

    async execute(request, attempt) {
      await attempt.process({ script: scriptOf(request.prompt), stdin: '', timeout_s: request.timeout_s })
      let { said, failed } = (attempt.cursor.state ?? {}) as DummyState
      const lines = new LineReader(attempt.cursor.stdout)
      for await (const { stream, offset, bytes } of attempt.output()) {
        if (stream === 'stderr') continue
        for (const { text, end } of lines.push(offset, bytes)) {
          const [verb, words] = split(text)
          if (verb === 'done') return { status: 'succeeded', result: said }
          if (verb === 'say') said = words
          if (verb === 'fail') failed = words
          if (request.deltas) attempt.delta({ text: words })
          const type = verb === 'think' ? 'message.thinking' : verb === 'fail' ? 'error' : 'message.assistant'
          const data = type === 'error' ? { code: 'AGENT_ERROR', message: words } : { text: words }
          await attempt.emit([{ type, data }], { ...startCursor, stdout: end, state: { said, failed } satisfies DummyState })
        }
      }
      const { exit_code } = await attempt.exited()
      const result: AgentResult =
        failed === undefined && exit_code === 0
          ? { status: 'succeeded', result: said }
          : { status: 'failed', error_code: 'AGENT_ERROR', error: failed ?? `exit code ${exit_code}` }
      return { ...result, exit_code, provider_session_id: 'dummy-session' }
    },

    cancel: () => Promise.resolve(),
  }
}

const split = (line: string): [string, string] => {
  const space = line.indexOf(' ')
  return space < 0 ? [line, ''] : [line.slice(0, space), line.slice(space + 1)]
}

function scriptOf(prompt: string): string {
  return prompt
    .split('\n')
    .map((line) => {
      const [verb, words] = split(line)
      if (verb === 'sleep') return `sleep ${quote(words)}\n`
      if (verb === 'exit') return `exit ${quote(words)}\n`
      if (verb === 'linger') return 'exec sleep 86400\n'
      return verb === 'say' || verb === 'think' || verb === 'fail' || verb === 'done' ? `printf '%s\\n' ${quote(line)}\n` : ''
    })
    .join('')
}
