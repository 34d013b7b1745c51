// Claude Code: one `claude -p` process per attempt. Every event comes from the output files in the pod, so a dropped stream or a restart of this
// program loses nothing: reading goes on at the cursor.

import { agentCapabilities } from '@rdev/shared/domain/capabilities'
import type { AgentRequest, AgentResult } from '@rdev/shared/domain/code-agent'
import { maxBatchBytes, maxBatchEvents } from '@rdev/shared/wire/limits'
import type { Attempt, AttemptDirectories, Chunk, CodeAgent, NewEvent } from '../../ports.ts'
import { claudeInput, claudeScript } from './command.ts'
import { parseLine, parseWords } from './parser.ts'
import { printTotalIn, readPrinted } from './costs.ts'
import { cutOff, isCut } from './result-line.ts'
import { claudeResult } from './result.ts'
import type { Total } from './spending.ts'
import type { Step } from './step.ts'
import { isOver, readClaudeState, type ClaudeState } from './state.ts'
import { LineReader, type Line } from '../lines.ts'
import { Timer } from '../timer.ts'

export interface ClaudeCodeOptions {
  readonly run: AttemptDirectories['run']
  /** How long a process may run on after its result; some versions never exit by themselves. */
  readonly graceMs?: number
}

/** A pod that answers later is busy or gone, and the end of the run waits for this. */
const keptTotalMs = 5000

export function createClaudeCode(options: ClaudeCodeOptions): CodeAgent {
  const graceMs = options.graceMs ?? 5000
  return {
    provider: 'claude-code',
    capabilities: () => agentCapabilities['claude-code'],
    available: async (pod) => (await options.run(pod, 'command -v claude', 10_000)).exit_code === 0,

    async execute(request, attempt) {
      if (request.permission_mode === 'bypassPermissions' && !attempt.pod.allow_bypass_permissions)
        return { status: 'failed', error_code: 'INVALID_SPEC', error: 'this pod does not allow bypassPermissions' }
      const { prompt, timeout_s } = request
      const script = claudeScript(request, attempt.pod.trust_repository_settings)
      // At an INT it ends its own children, and then tells what the run has cost. When they got the signal too, it did not.
      await attempt.process({ script, stdin: claudeInput(prompt), timeout_s, interrupt: 'main' })
      return new ClaudeRun(request, attempt, graceMs, options.run).toEnd()
    },

    // This CLI stops on the supervisor's INT; there is no other way to ask it.
    cancel: () => Promise.resolve(),
  }
}

class ClaudeRun {
  readonly #request: AgentRequest
  readonly #attempt: Attempt
  readonly #run: ClaudeCodeOptions['run']
  readonly #readers: Readonly<Record<Chunk['stream'], LineReader>>
  #state: ClaudeState
  #cursor: { stdout: number; stderr: number }
  readonly #grace: Timer
  /** Events that were read and not emitted yet; the cursor is after the last of them. */
  #events: NewEvent[] = []
  #bytes = 0
  #gaveUp = false

  constructor(request: AgentRequest, attempt: Attempt, graceMs: number, run: ClaudeCodeOptions['run']) {
    const { stdout, stderr, state } = attempt.cursor
    this.#request = request
    this.#attempt = attempt
    this.#run = run
    this.#readers = { stdout: new LineReader(stdout), stderr: new LineReader(stderr) }
    this.#cursor = { stdout, stderr }
    this.#state = readClaudeState(state)
    this.#grace = new Timer(graceMs, () => attempt.stop())
  }

  async toEnd(): Promise<AgentResult> {
    if (this.#state.givenUp) this.#giveUp()
    if (isOver(this.#state)) this.#grace.restart()
    try {
      for await (const chunk of this.#attempt.output()) await this.#read(chunk)
    } finally {
      this.#grace.stop()
    }
    const exit = await this.#attempt.exited()
    for (const stream of ['stdout', 'stderr'] as const) await this.#take(stream, this.#readers[stream].rest())
    const { state, events } = cutOff(this.#state, await this.#keptTotal())
    this.#state = state
    this.#events.push(...events)
    await this.#emit()
    return claudeResult(this.#state, exit)
  }

  /** Of a run that was cut. Undefined if nothing tells it: the pod may be gone. */
  async #keptTotal(): Promise<Total | undefined> {
    const { session } = this.#state
    if (session === undefined || !isCut(this.#state)) return undefined
    const { pod, assignment } = this.#attempt
    const printed = await this.#run(pod.name, printTotalIn(assignment.env, session), keptTotalMs).catch(() => undefined)
    return readPrinted(printed?.stdout ?? '')
  }

  async #read({ stream, offset, bytes }: Chunk): Promise<void> {
    await this.#take(stream, this.#readers[stream].push(offset, bytes))
  }

  /** Emits the events of a chunk in as few calls as fit frames, because each call costs time. Each call ends after a line, with the state there. */
  async #take(stream: Chunk['stream'], lines: Iterable<Line>): Promise<void> {
    for (const line of lines) {
      const step = this.#parse(stream, line)
      const bytes = line.end - this.#cursor[stream]
      const full = this.#events.length + step.events.length > maxBatchEvents || this.#bytes + bytes > maxBatchBytes
      // Deltas are not stored, so the events before them must be emitted first.
      if (full || step.deltas.length > 0) await this.#emit()
      this.#state = step.state
      this.#cursor[stream] = line.end
      this.#bytes += bytes
      for (const event of step.events) this.#events.push(event)
      for (const delta of step.deltas) this.#attempt.delta(delta)
    }
    await this.#emit()
  }

  #parse(stream: Chunk['stream'], line: Line): Step {
    if (stream === 'stderr') return parseWords(this.#state, 'stderr', line.text)
    const step = parseLine(this.#state, line, { prompt: this.#request.prompt, now: this.#attempt.now() })
    if (step.state.givenUp) this.#giveUp()
    // Whatever comes after the result lets the grace period begin again; work in the background and a woken model have no such limit.
    if (isOver(step.state)) this.#grace.restart()
    else this.#grace.stop()
    return step
  }

  #giveUp(): void {
    if (this.#gaveUp) return
    this.#gaveUp = true
    void this.#attempt.stop().catch(() => {})
  }

  async #emit(): Promise<void> {
    const events = this.#events
    this.#events = []
    this.#bytes = 0
    if (events.length > 0) await this.#attempt.emit(events, { ...this.#cursor, state: this.#state })
  }
}
