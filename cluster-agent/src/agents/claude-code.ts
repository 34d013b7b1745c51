// Claude Code: one `claude -p` process per attempt, its output read from the pod's files. The files are the source of every event, so a
// dropped stream or a restart of this program loses nothing: reading goes on at the cursor.

import { agentCapabilities } from '@rdev/shared/domain/capabilities'
import type { AgentRequest, AgentResult } from '@rdev/shared/domain/code-agent'
import type { Cursor } from '@rdev/shared/domain/attempt'
import type { Attempt, AttemptDirectories, Chunk, CodeAgent } from '../ports.ts'
import { claudeScript } from './claude-command.ts'
import { parseLine, parseWords, type Step } from './claude-parser.ts'
import { claudeResult } from './claude-result.ts'
import { readClaudeState, type ClaudeState } from './claude-state.ts'
import { LineReader } from './lines.ts'
import { Timer } from './timer.ts'

export interface ClaudeCodeOptions {
  readonly run: AttemptDirectories['run']
  /** How long a process may live on after its result before it is stopped; some versions never exit by themselves. */
  readonly graceMs?: number
}

export function createClaudeCode(options: ClaudeCodeOptions): CodeAgent {
  const graceMs = options.graceMs ?? 5000
  return {
    provider: 'claude-code',
    capabilities: () => agentCapabilities['claude-code'],
    available: async (pod) => (await options.run(pod, 'command -v claude', 10_000)).exit_code === 0,

    async execute(request, attempt) {
      if (request.permission_mode === 'bypassPermissions' && !attempt.pod.allow_bypass_permissions)
        return { status: 'failed', error_code: 'INVALID_SPEC', error: 'this pod does not allow bypassPermissions' }
      await attempt.process({ script: claudeScript(request), stdin: request.prompt, timeout_s: request.timeout_s })
      return new ClaudeRun(request, attempt, graceMs).toEnd()
    },

    // The supervisor's INT is what this CLI understands; there is nothing politer.
    cancel: () => Promise.resolve(),
  }
}

class ClaudeRun {
  readonly #request: AgentRequest
  readonly #attempt: Attempt
  readonly #stdout: LineReader
  readonly #stderr: LineReader
  #state: ClaudeState
  #cursor: { stdout: number; stderr: number }
  readonly #grace: Timer

  constructor(request: AgentRequest, attempt: Attempt, graceMs: number) {
    const { stdout, stderr, state } = attempt.cursor
    this.#request = request
    this.#attempt = attempt
    this.#stdout = new LineReader(stdout)
    this.#stderr = new LineReader(stderr)
    this.#cursor = { stdout, stderr }
    this.#state = readClaudeState(state)
    this.#grace = new Timer(graceMs, () => attempt.stop())
  }

  async toEnd(): Promise<AgentResult> {
    if (this.#state.result) this.#grace.restart()
    try {
      for await (const chunk of this.#attempt.output()) await this.#read(chunk)
    } finally {
      this.#grace.stop()
    }
    const exit = await this.#attempt.exited()
    for (const line of this.#stdout.rest()) await this.#emit(this.#parse(line), { stdout: line.end })
    for (const line of this.#stderr.rest()) await this.#emit(parseWords(this.#state, 'stderr', line.text), { stderr: line.end })
    return claudeResult(this.#state, exit)
  }

  #parse(line: Parameters<typeof parseLine>[1]): Step {
    const step = parseLine(this.#state, line, { prompt: this.#request.prompt, now: this.#attempt.now() })
    // Something after the result, as when a background task wakes the model: the grace period begins anew.
    if (step.state.result) this.#grace.restart()
    return step
  }

  async #read({ stream, offset, bytes }: Chunk): Promise<void> {
    if (stream === 'stdout') {
      for (const line of this.#stdout.push(offset, bytes)) await this.#emit(this.#parse(line), { stdout: line.end })
    } else {
      for (const line of this.#stderr.push(offset, bytes))
        await this.#emit(parseWords(this.#state, 'stderr', line.text), { stderr: line.end })
    }
  }

  /** Line by line, so that every cursor that is stored stands at a line boundary with the state of just that line. */
  async #emit(step: Step, position: { stdout?: number; stderr?: number }): Promise<void> {
    this.#state = step.state
    this.#cursor = { ...this.#cursor, ...position }
    for (const delta of step.deltas) this.#attempt.delta(delta)
    if (step.events.length > 0) await this.#attempt.emit(step.events, this.#snapshot())
  }

  #snapshot = (): Cursor => ({ ...this.#cursor, state: this.#state })
}
