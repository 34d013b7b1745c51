// One reading of an attempt's output from one position of the log, to its end: what cluster-agent's follower, run-command and a code agent do
// together. Bytes become events with the product's own OutputLines; a code agent's lines become messages whose count is in the cursor.

import type { Assignment, Cursor, ExitRecord } from '@rdev/shared/domain/attempt'
import type { AgentResult } from '@rdev/shared/domain/code-agent'
import { OutputLines, silenceMs } from '../../cluster-agent/src/runner/output-lines.ts'
import type { AttemptDirectory } from '../pods/attempt-directory.ts'
import { Life, type Timer } from '../world/kernel.ts'
import { planOf } from '../world/plan.ts'
import type { AgentProcess } from './agent-process.ts'
import type { Position } from './line.ts'

export interface ReadingOwner {
  emit(
    events: readonly { readonly type: string; readonly data: Readonly<Record<string, unknown>> }[],
    cursor: Cursor,
    taken: () => void,
  ): void
  active(): void
  done(result: AgentResult | undefined): void
}

interface CountState {
  readonly lines: number
  readonly last: string
}

export class Reading {
  readonly #agent: AgentProcess
  readonly #assignment: Assignment
  readonly #name: string
  readonly #owner: ReadingOwner
  readonly #life: Life
  readonly #lines: OutputLines
  readonly #at: { stdout: number; stderr: number }
  #said: CountState
  #record: ExitRecord | undefined
  #silence: Timer | undefined
  #reopening = false
  #unwatch: (() => void) | undefined
  /** Emitted and not yet taken by the window: nothing more is read. */
  #blocked = 0
  released = false

  constructor(agent: AgentProcess, assignment: Assignment, name: string, from: Position, owner: ReadingOwner) {
    this.#agent = agent
    this.#assignment = assignment
    this.#name = name
    this.#owner = owner
    this.#life = new Life('reading', agent.life)
    this.#lines = new OutputLines(from.cursor)
    this.#at = { stdout: from.cursor.stdout, stderr: from.cursor.stderr }
    this.#said = (from.cursor.state as CountState | undefined) ?? { lines: 0, last: '' }
  }

  get blocked(): boolean {
    return this.#blocked > 0
  }

  /** When the process has been started, or was. */
  begin(): void {
    this.#reopen(0)
  }

  ended(record: ExitRecord): void {
    this.#record = record
    this.#pull()
  }

  letGo(): void {
    if (this.released) return
    this.released = true
    this.#unwatch?.()
    this.#life.die()
  }

  #directory: AttemptDirectory | undefined
  #reopen(tries: number): void {
    if (this.#reopening || this.released) return
    this.#reopening = true
    const again = () => {
      this.#reopening = false
      this.#agent.kernel.after(Math.min(5_000, 50 * 2 ** tries), this.#life, () => this.#reopen(Math.min(tries + 1, 7)))
    }
    this.#agent.directories.open(
      this.#assignment.pod,
      this.#name,
      this.#life,
      (directory, pod) => {
        if (directory === 'gone') {
          // The follower throws: the code agent has failed inside.
          this.#reopening = false
          return this.#finish(undefined)
        }
        this.#reopening = false
        this.#directory = directory
        this.#unwatch?.()
        const unwatch = directory.watch(() => this.#pull())
        const uncut = pod.onCut(() => {
          this.#unwatch?.()
          this.#unwatch = undefined
          this.#directory = undefined
          this.#reopen(0)
        })
        this.#unwatch = () => {
          unwatch()
          uncut()
        }
        this.#pull()
      },
      again,
    )
  }

  #pulling = false
  /** A moment later whatever is there then is read, in pieces that chance chooses. */
  #pull(): void {
    if (this.released || this.#pulling) return
    this.#pulling = true
    const { kernel } = this.#agent
    kernel.after(kernel.random.int(1, 5), this.#life, () => {
      this.#pulling = false
      this.#take()
    })
  }

  #take(): void {
    const directory = this.#directory
    if (directory === undefined || this.released || this.blocked) return
    const { random } = this.#agent.kernel
    let any = false
    for (const stream of ['stdout', 'stderr'] as const) {
      const there = directory[stream].length - this.#at[stream]
      if (there <= 0) continue
      any = true
      const count = random.maybe(0.7) ? there : random.int(1, there)
      const offset = this.#at[stream]
      const bytes = Buffer.from(directory[stream].slice(offset, offset + count), 'latin1')
      this.#at[stream] += count
      this.#owner.active()
      this.#tell(this.#lines.push({ stream, offset, bytes }))
    }
    if (any) {
      this.#armSilence()
      return this.#pull()
    }
    const record = this.#record
    if (record !== undefined && this.#at.stdout >= record.stdout_bytes && this.#at.stderr >= record.stderr_bytes) {
      this.#tell(this.#lines.flush(true))
      this.#finish(this.#resultOf(record))
    }
  }

  #armSilence(): void {
    if (this.#silence !== undefined) this.#silence.cancelled = true
    if (!this.#lines.holds) return
    this.#silence = this.#agent.kernel.after(silenceMs, this.#life, () => this.#tell(this.#lines.flush(false)))
  }

  #tell(found: ReturnType<OutputLines['push']>): void {
    for (const { event, cursor } of found) {
      this.#blocked++
      const taken = () => {
        this.#blocked--
        if (!this.released && this.#blocked === 0) this.#pull()
      }
      if (this.#assignment.kind !== 'agent') {
        this.#owner.emit([event], cursor, taken)
        continue
      }
      // A code agent keeps what it must know after a restart in the cursor.
      const { stream, text } = event.data as { stream: string; text: string }
      if (stream === 'stdout') this.#said = { lines: this.#said.lines + 1, last: text }
      this.#owner.emit([{ type: 'output', data: { stream, text } }], { ...cursor, state: this.#said }, taken)
    }
  }

  #resultOf(record: ExitRecord): AgentResult {
    const { exit_code } = record
    if (this.#assignment.kind !== 'agent') {
      return exit_code === 0 ? { status: 'succeeded', exit_code } : { status: 'failed', exit_code, error: `exit code ${exit_code}` }
    }
    const provider_session_id = `conversation of ${this.#assignment.session_id}`
    if (exit_code === 0)
      return { status: 'succeeded', exit_code, result: `said ${this.#said.lines > 0 ? 'something' : 'nothing'}`, provider_session_id }
    const { fails } = planOf(this.#assignment.prompt ?? '', this.#assignment.attempt)
    return { status: 'failed', exit_code, error_code: fails ?? 'AGENT_ERROR', error: 'it failed', provider_session_id }
  }

  #finish(result: AgentResult | undefined): void {
    if (this.released) return
    this.#owner.done(result)
  }
}
